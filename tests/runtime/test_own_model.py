import sys

import numpy as np
import pytest

from asyncmde_sim.runtime import load_profile, make_source
from asyncmde_sim.runtime.own_model import is_own

MODULE = """
import numpy as np

class Model:
    def __init__(self, weights, focal):
        self.metres = 2.0 if weights is None else float(weights)
        self.focal = focal

    def run(self, image):
        return np.full(image.shape[:2], self.metres, np.float32)

class Bare:
    def run(self, image):
        return image

class NoModel:
    pass

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module in the working directory."""
    (tmp_path / "my_models_for_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "my_models_for_a_test"
    sys.modules.pop("my_models_for_a_test", None)


def test_a_class_takes_the_place_of_the_slow_path(module, make_frames, replay):
    slow_ns = load_profile("orin-trt").slow.samples_ns[0]
    frames = make_frames([0, 10_000_000, slow_ns])
    for weights, metres in ((None, 2.0), ("3.5", 3.5)):
        source = make_source(f"{module}:Model", "orin-trt", weights=weights, focal=0.5)
        answers = replay(source, frames, [0, slow_ns - 1, slow_ns])
        assert answers[slow_ns - 1] is None and (answers[slow_ns].depth == metres).all()
        assert source.counts.slow_runs == 2 and source.counts.frames_dropped == 1


def test_only_a_path_of_a_class_is_one():
    assert is_own("a.b:C") and not any(map(is_own, ("async", "hil://127.0.0.1:50151", "a:b:c", ":C", "a:")))


def test_what_is_no_model_is_refused_by_name(module):
    def refused(path, match, **options):
        with pytest.raises(ValueError, match=match):
            make_source(path, "ideal", **options).reset(0)

    refused("nowhere_at_all:Model", "there is no module 'nowhere_at_all'")
    refused(f"{module}:Modell", "has no 'Modell'")
    refused(f"{module}:NoModel", r"must be a class with a method run\(image\)")
    refused(f"{module}:number", r"must be a class with a method run\(image\)")
    refused(f"{module}:Bare", r"is made as Class\(weights, focal\), but")
    refused(f"{module}:Model", "a model of your own has its own", engine="torch")
    assert np.isfinite(make_source(f"{module}:Model", align="floor").counts.frames_seen), "it may be relative"
