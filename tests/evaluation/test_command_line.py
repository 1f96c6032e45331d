"""Scripts end in one sentence and an exit code, whatever stops them."""

import pytest

from asyncmde_sim.evaluation.command_line import exit_code


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("speed is -1:\n use 0 or more"), 2, "speed is -1: use 0 or more"),
        (FileNotFoundError(2, "No such file", "a.glb"), 2, "a.glb: No such file"),
        (ImportError("maps need Open3D: install the extra"), 2, "maps need Open3D: install the extra"),
        (KeyboardInterrupt(), 130, "Interrupted: what is written so far is whole."),
    ],
)
def test_what_stops_a_script_is_one_sentence(error, code, sentence, capsys):
    assert exit_code(raising(error)) == code
    assert capsys.readouterr() == ("", f"{sentence}\n")


def test_a_broken_installation_and_a_defect_are_not_hidden():
    for error in (ModuleNotFoundError("no numpy", name="numpy"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            exit_code(raising(error))


def test_a_script_that_ends_well_says_nothing(capsys):
    assert exit_code(lambda: None) == 0
    assert capsys.readouterr() == ("", "")
