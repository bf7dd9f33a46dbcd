import subprocess
import sys

import pytest

from trtproof.why import Change, Forecast, StageState, Verdict, differences, forecast, render

HARDWARE = Change("metrics/hardware.json engine.torch.version", "2.12.0", "2.13.0")


def state(name: str, *makers: str, **facts) -> StageState:
    """A stage that reads artifacts/<maker> of each maker, as it was when it last ran."""
    inputs = {f"artifacts/{maker}": [maker] for maker in makers}
    return StageState(**({"name": name, "inputs": inputs, "locked_inputs": list(inputs)} | facts))


def verdicts(*states: StageState) -> dict[str, Verdict]:
    return {item.name: item.verdict for item in forecast(states)}


def test_nothing_changed_is_up_to_date():
    found = verdicts(
        state("probe", always=True), state("export", "probe"), state("build", "export")
    )
    assert found == {
        "probe": Verdict.JUST_RAN,
        "export": Verdict.UP_TO_DATE,
        "build": Verdict.UP_TO_DATE,
    }


def test_a_changed_fact_runs_the_stage_and_leaves_what_follows_undecided():
    found = forecast(
        [state("build", own=[HARDWARE]), state("evaluate", "build"), state("report", "evaluate")]
    )
    assert [item.verdict for item in found] == [
        Verdict.WILL_RUN,
        Verdict.UNDECIDED,
        Verdict.UNDECIDED,
    ]
    assert found[0].causes == [HARDWARE]
    assert found[1].waits_for == ["build"]
    assert found[2].waits_for == ["evaluate"]


def test_what_the_run_cache_knows_is_restored():
    assert verdicts(state("build", own=[HARDWARE], restorable=True)) == {"build": Verdict.RESTORED}


def test_what_follows_a_result_from_the_run_cache_is_undecided():
    found = verdicts(
        state("build", own=[HARDWARE], restorable=True), state("evaluate", "build", own=[HARDWARE])
    )
    assert found["evaluate"] is Verdict.UNDECIDED


def test_a_stage_with_its_own_change_runs_after_one_that_runs():
    found = forecast([state("build", own=[HARDWARE]), state("benchmark", "build", own=[HARDWARE])])
    assert found[1].verdict is Verdict.WILL_RUN
    assert found[1].waits_for == ()


def test_lost_outputs_come_back_from_the_cache_all_the_way_down():
    found = forecast(
        [
            state("export", lost_outputs=["artifacts/export"]),
            state(
                "build",
                "export",
                changed_inputs=["artifacts/export"],
                lost_outputs=["artifacts/build"],
            ),
            state("evaluate", "build", changed_inputs=["artifacts/build"]),
        ]
    )
    assert [item.verdict for item in found] == [
        Verdict.RESTORED,
        Verdict.RESTORED,
        Verdict.UP_TO_DATE,
    ]
    assert str(found[0].causes[0]) == "artifacts/export is not what the stage left"


def test_lost_outputs_that_the_cache_lacks_are_made_again():
    lost = state("export", lost_outputs=["artifacts/export"], outputs_cached=False)
    found = verdicts(lost, state("build", "export"))
    assert found == {"export": Verdict.WILL_RUN, "build": Verdict.UNDECIDED}


def test_a_restored_input_that_the_stage_never_read_leaves_it_undecided():
    found = verdicts(
        state("export", lost_outputs=["artifacts/export"]),
        state("build", "export", changed_inputs=["artifacts/export"], locked_inputs=[]),
    )
    assert found["build"] is Verdict.UNDECIDED


def test_an_input_that_changed_since_is_a_cause():
    found = forecast(
        [state("export"), state("build", "export", changed_inputs=["artifacts/export"])]
    )
    assert found[1].verdict is Verdict.WILL_RUN
    assert str(found[1].causes[0]) == "artifacts/export is not what it last read"


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["f.k.a.b: 1 -> 3"]),
        ({"a": 1}, {}, ["f.k.a: 1 -> (absent)"]),
        ({}, {"a": True}, ["f.k.a: (absent) -> true"]),
        ([1], [1, 2], ["f.k: [1] -> [1, 2]"]),
        ({"a": 1}, {"a": 1}, []),
        (None, {"a": 1}, ["f.k: (absent) -> {'a': 1}"]),
        (None, "x" * 99, [f"f.k: (absent) -> {'x' * 60}..."]),
    ],
)
def test_a_difference_is_told_down_to_the_field(old, new, lines):
    assert [str(change) for change in differences("f.k", old, new)] == lines


def test_the_answer_names_cause_cost_and_sums():
    text = render(
        forecast(
            [
                state("build", own=[HARDWARE], seconds=90, size_bytes=2_500_000_000),
                state("benchmark", "build", seconds=60, size_bytes=10_000_000),
                state("report", "benchmark"),
            ]
        )
    )
    assert text.splitlines() == [
        "build      will run (about 1.5 min, 2.500 GB)",
        "             metrics/hardware.json engine.torch.version: 2.12.0 -> 2.13.0",
        "benchmark  undecided until build has run (about 1.0 min, 0.010 GB)",
        "report     undecided until benchmark has run (time unknown, size unknown)",
        "",
        "certain: 1 to run, about 1.5 min, 2.500 GB",
        "at most: 3 to run, about 2.5 min, 2.510 GB and 1 of unknown cost",
    ]


def test_many_stages_to_wait_for_are_counted():
    builds = [state(f"build@{name}", own=[HARDWARE]) for name in "abcde"]
    text = render(forecast([*builds, state("report", *(build.name for build in builds))]))
    assert "undecided until build@a, build@b, build@c and 2 more have run" in text


def test_small_amounts_are_said_to_be_small():
    item = forecast([state("export", own=[HARDWARE], seconds=0.1, size_bytes=10)])
    assert "will run (under 0.1 min, under 0.001 GB)" in render(item)


def test_nothing_to_do_is_said():
    assert render(forecast([state("export")])).endswith("certain: nothing will run")


def test_a_long_list_of_causes_is_cut():
    causes = [Change(f"params.yaml a.{number}", 1, 2) for number in range(20)]
    item = Forecast("build", Verdict.WILL_RUN, causes, (), None, None)
    assert "and 8 more" in render([item])


def test_dvc_is_not_imported_before_it_is_asked():
    code = "import sys, trtproof.why, trtproof.dvc_state, trtproof.cli\nprint('dvc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
