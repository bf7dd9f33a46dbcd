"""`trtproof pareto` over a recorded sweep, from sweep.json and git to files and words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from tests.session_made import MadeSession
from tests.sweep_made import (
    REFERENCE,
    SLUG,
    MadeJob,
    MadeResults,
    Variant,
    commit_job,
    git,
    record_sweep,
)

from trtproof.choice import command
from trtproof.choice.chart import draw_files, make_scale
from trtproof.choice.choose import choose
from trtproof.choice.command import ask, plan_finals
from trtproof.choice.figures import make_vocabulary
from trtproof.choice.question import parse_question
from trtproof.choice.results import GitResults
from trtproof.cli import main
from trtproof.sweep.record import Status, SweepRecord, folder, write_record

FP32, INT8, WRONG = "onnxruntime-fp32", "onnxruntime-int8", "onnxruntime-int8_cpu"
SLOW, FAST = Variant(p50_ms=4.0), Variant(recipe="int8", p50_ms=1.0, drop_pp=0.5)
JOBS = (
    MadeJob({REFERENCE: SLOW, FP32: Variant(p50_ms=2.0)}, ("variant=[torch-fp32,a]",)),
    MadeJob({REFERENCE: SLOW, INT8: FAST}, ("variant=[torch-fp32,b]",)),
    MadeJob({REFERENCE: SLOW, WRONG: Variant("int8", 0.5, 3.0)}, ("variant=[torch-fp32,c]",)),
    MadeJob({REFERENCE: SLOW}, ("model=none",), status=Status.FAILED, reason="no such model"),
)
LIMITS = ("p99_ms<=4", "top1_drop_pp<=1")
LAST = MadeJob({REFERENCE: SLOW, FP32: Variant(p50_ms=2.0), INT8: FAST}, ("last",))
SESSION = MadeSession({REFERENCE: 4.0, FP32: 2.0, INT8: 1.0}, windows=8, requests=20)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepRecord:
    """Make a repository with the commits of a sweep's experiments, and its sweep.json."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    jobs = [commit_job(number, job) for number, job in enumerate(JOBS)]
    record = msgspec.structs.replace(
        record_sweep(JOBS, "throughput_ips", LIMITS), jobs=(*jobs[:3], record_sweep(JOBS).jobs[3])
    )
    write_record(record)
    return record


def run_last(record: SweepRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the last session as the sweep of its own that it is."""
    finals = plan_finals(choose(record, ask(record), GitResults()))
    job = msgspec.structs.replace(
        commit_job(0, LAST, name=finals.name), overrides=finals.plans[0].overrides
    )
    write_record(msgspec.structs.replace(record, name=finals.name, jobs=(job,)))
    monkeypatch.setattr(command, "open_session", lambda _: SESSION.make())


def answer() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder("made") / "choice.json").read_text("utf-8"))
    return found


def test_before_the_last_session_nobody_is_named(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pareto", sweep.name]) == 3
    shown = capsys.readouterr().out
    assert "no winner yet: the last session has not run" in shown
    assert "`python -m trtproof.sweep sweep.resume=made` runs it" in shown
    assert "dvc exp apply" not in shown
    assert answer()["groups"][0]["recommended"] == []


def test_the_winner_is_named_with_the_command_that_brings_it(
    sweep: SweepRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_last(sweep, monkeypatch)
    assert main(["pareto"]) == 0
    shown = capsys.readouterr().out
    assert f"digits_resnet on digits, {SLUG}: {INT8}, batch 1, 2 streams" in shown
    assert "dvc exp apply made-1" in shown
    assert "settings: 'variant=[torch-fp32,b]'" in shown
    assert "no such model" in shown
    assert "worse" in shown
    assert "top1_drop_pp<=1 missed, 2.8000 pp to 3.2000 pp: #" in shown
    group = answer()["groups"][0]
    assert group["last_session"]["clear"]
    assert [item["variant"] for item in group["recommended"]] == [INT8]


def test_every_cell_has_its_verdicts_and_the_dominated_ones_name_by_whom(
    sweep: SweepRecord,
) -> None:
    main(["pareto", sweep.name])
    cells = {(item["variant"], item["streams"]): item for item in answer()["groups"][0]["cells"]}
    assert len(cells) == 4 * 2
    wrong = {verdict["constraint"]: verdict for verdict in cells[WRONG, 1]["verdicts"]}
    assert wrong["top1_drop_pp<=1"]["word"] == "missed"
    assert (wrong["top1_drop_pp<=1"]["low"], wrong["top1_drop_pp<=1"]["high"]) == (2.8, 3.2)
    assert cells[REFERENCE, 1]["word"] == "missed"  # 4.4 ms
    assert cells[INT8, 2]["word"] == "met"
    by_number = {item["number"]: item for item in cells.values()}
    beaten = cells[REFERENCE, 1]
    assert not beaten["on_front"]
    assert by_number[beaten["dominated_by"]]["on_front"]


def test_the_pictures_stand_alone_in_both_themes_and_the_page_shows_them(
    sweep: SweepRecord,
) -> None:
    main(["pareto", sweep.name])
    for shade in ("light", "dark"):
        text = (folder("made") / f"front-{shade}.svg").read_text("utf-8")
        ET.fromstring(text)  # noqa: S314 - our own
        assert "var(--" not in text
        assert "p99_ms, less is better" in text
    light, dark = ((folder("made") / f"front-{one}.svg").read_text() for one in ("light", "dark"))
    assert light != dark
    page = (folder("made") / "choice.md").read_text("utf-8")
    assert 'srcset="front-dark.svg"' in page
    assert "| #1 | onnxruntime-fp32" in page or "| #1 | torch-fp32" in page


def test_another_question_can_be_asked_of_the_same_sweep(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["pareto", "made", "--objective", "p50_ms", "--constraint", "top1_drop_pp<=0.1"])
    assert code == 3
    assert "least p50_ms with top1_drop_pp<=0.1" in capsys.readouterr().out


def test_where_everything_misses_a_constraint_the_code_says_so(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pareto", "made", "--constraint", "p99_ms<=0.1"]) == 5
    assert "every configuration that was measured misses a constraint" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pareto", "other"], "name a sweep that was run here (made)"),
        (["pareto", "made", "--objective", "speed"], "there is no figure 'speed'"),
        (["pareto", "made", "--constraint", "p99_ms<4"], "'<' is no comparison"),
    ],
)
def test_a_wrong_word_is_one_line(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_an_experiment_that_is_gone_says_how_to_get_it_back(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = msgspec.structs.replace(sweep.jobs[0], revision="f" * 40)
    write_record(msgspec.structs.replace(sweep, jobs=(gone, *sweep.jobs[1:])))
    assert main(["pareto", "made"]) == 1
    assert "git has no params.yaml of job 0 (made-0)" in capsys.readouterr().err


def test_a_sweep_without_an_objective_says_how_to_ask(
    sweep: SweepRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(msgspec.structs.replace(sweep, objective=None, constraints=()))
    assert main(["pareto", "made"]) == 1
    assert "trtproof pareto made --objective" in capsys.readouterr().err


def test_the_same_results_give_the_same_bytes(sweep: SweepRecord) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder("made").iterdir()}

    main(["pareto", "made"])
    first = files()
    main(["pareto", "made"])
    assert files() == first


def drawn(job: MadeJob, *limits: str) -> str:
    question = parse_question("throughput_ips", limits, make_vocabulary(["top1"]))
    return draw_files(choose(record_sweep([job]), question, MadeResults([job])).groups[0])["light"]


def test_what_misses_a_constraint_is_a_cross_and_the_rest_are_dots() -> None:
    job = MadeJob({REFERENCE: SLOW, INT8: FAST}, streams=(1,))
    assert len(re.findall("<circle", drawn(job, "p99_ms<=9"))) == 2
    assert len(re.findall("<circle", drawn(job, "p99_ms<=2"))) == 1
    assert "limit 2" in drawn(job, "p99_ms<=2")


def test_without_a_common_figure_the_picture_says_so() -> None:
    job = MadeJob({REFERENCE: Variant(status="failed", reason="parse")})
    assert "no cell has both figures" in drawn(job, "p99_ms<=9")


def test_an_axis_holds_its_values_and_the_limit() -> None:
    words = make_vocabulary(["top1"]).figures
    for values, figure, limit in (
        ([1.0, 1.0], "p99_ms", 4.0),
        ([0.0], "top1_drop_pp", None),
        ([-0.3, 0.2], "top1_drop_pp", 1.0),
        ([0.5, 900.0], "throughput_ips", None),
    ):
        scale = make_scale(values, words[figure], limit)
        for value in [*values, *([limit] if limit else [])]:
            assert 0 < scale.share(value) < 1
        assert all(0 <= scale.share(tick) <= 1 for tick in scale.ticks())
        assert scale.ticks()
