"""ImageNet's statistics of red, green and blue from 0 to 1, as Depth Anything and torchvision use."""

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
