import pytest
import yaml

from asyncmde_sim.evaluation.suite.cells import check_cell
from asyncmde_sim.evaluation.suite.plan import fixed_cells
from asyncmde_sim.evaluation.suite.suite import builtin_suites, load_suite, parse_suite, suite_text

SMALL = {"environments": ["IndoorStatic-v0"], "depth": ["oracle", "async"], "seeds": 2}


def test_short_and_long_forms_are_the_same_suite():
    long = {
        "environments": [{"env": "IndoorStatic-v0"}],
        "depth": [{"source": "oracle"}, {"source": "async"}],
        "seeds": {"count": 2},
    }
    assert parse_suite(SMALL) == parse_suite(long)


def test_a_suite_is_what_its_text_says():
    values = {
        **SMALL,
        "environments": [{"env": "ExtremeMotion-v0", "image_size": [112, 84], "max_speed": 4}],
        "depth": [{"source": "foundation", "weights": "relative-stand-in", "align": "floor"}],
        "safe_speed": {"episodes": 2},
        "gpus_per_run": 0.25,
    }
    suite = parse_suite(values, "mine")
    assert parse_suite(yaml.safe_load(suite_text(suite))) == suite
    assert suite.depth[0].label == "foundation relative-stand-in floor"


@pytest.mark.parametrize("name", builtin_suites())
def test_every_cell_of_the_suites_that_come_along_can_be_made(name):
    cells = fixed_cells(load_suite(name))
    assert cells
    for cell in cells:
        check_cell(cell)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devises": ["orin-trt"]}, "unknown key 'devises' in the suite: did you mean 'devices'?"),
        ({"zzz": 1}, "unknown key 'zzz' in the suite: there are name, environments"),
        ({"seeds": {"cuont": 3}}, "unknown key 'cuont' in seeds: did you mean 'count'?"),
        (
            {"environments": [{"env": "IndoorStatic-v0", "speed": 1}]},
            r"unknown key 'speed' in environments\[0\]",
        ),
        ({"environments": [{"max_speed": 1}]}, r"environments\[0\] has no 'env': add it"),
        ({"environments": []}, "environments is empty, so there is nothing to run"),
        ({"depth": []}, "depth is empty"),
        ({"devices": []}, "devices is empty"),
        ({"environments": ["Nowhere-v0"]}, "unknown environment 'Nowhere-v0'"),
        ({"environments": "IndoorStatic-v0"}, "environments is 'IndoorStatic-v0', but a list is needed"),
        ({"environments": ["IndoorStatic-v0"] * 2}, "two environments are called 'IndoorStatic-v0'"),
        ({"depth": ["async", "async"]}, "two depth sources are called 'async'"),
        ({"devices": ["a/x.json", "b/x.json"]}, "two devices are called 'x'"),
        ({"depth": ["hil://127.0.0.1:50151"]}, "record a trace"),
        ({"seeds": 0}, "count is 0"),
        ({"seeds": {"count": 2, "start": -1}}, "start is -1"),
        ({"seeds": "many"}, "count in seeds is 'many', but a whole number is needed"),
        ({"seeds": {"count": True}}, "count in seeds is True, but a whole number is needed"),
        ({"loss_split": 1}, "loss_split in the suite is 1, but true or false is needed"),
        ({"gpus_per_run": -1}, "gpus_per_run is -1"),
        ({"safe_speed": {"lowest": 2, "highest": 1}}, "0 < lowest < highest"),
        ({"safe_speed": {"resolution": 0}}, "resolution is 0"),
        ({"safe_speed": {"success": 1.5}}, "success is 1.5"),
        ({"safe_speed": {"episodes": 3}}, "safe_speed takes 3 episodes at each speed, but the suite has 2"),
        ({"environments": [{"env": "IndoorStatic-v0", "image_size": [3]}]}, "a width and a height"),
    ],
)
def test_bad_input_is_named_with_its_fix(values, message):
    with pytest.raises(ValueError, match=message):
        parse_suite({**SMALL, **values})


def test_a_missing_key_a_file_that_is_none_and_one_that_holds_something_else(tmp_path):
    with pytest.raises(ValueError, match="the suite has no 'seeds': add it"):
        parse_suite({key: value for key, value in SMALL.items() if key != "seeds"})
    with pytest.raises(ValueError, match=r"no suite 'nowhere\.yaml': give a YAML file, or one of"):
        load_suite("nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match=r"list.yaml: the suite is \[1\], but a mapping"):
        load_suite(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="is not YAML"):
        load_suite(tmp_path / "broken.yaml")
