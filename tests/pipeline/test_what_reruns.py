"""The exact set of stages that each kind of change re-runs: nothing more, nothing less."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.pipeline import models
from tests.pipeline.project import Outcome, Project

ORT = {"onnxruntime-fp32", "onnxruntime-int8_cpu"}
ALL = ORT | {"tensorrt-fp32"}
RECIPES = {"fp32", "int8_cpu"}


def at(stage: str, items: set[str]) -> set[str]:
    """Return the stage's names for some items."""
    return {f"{stage}@{item}" for item in items}


def expect(outcome: Outcome, ran: set[str]) -> None:
    """Compare what ran; the probe always does."""
    assert outcome.code == 0, outcome.output
    assert outcome.ran == ran | {"probe"}, outcome.output


def after(*variants: str) -> set[str]:
    """Return what follows new plans of some variants."""
    return at("build", set(variants)) | at("evaluate", set(variants)) | {"benchmark", "report"}


def change_sample(project: Project, split: str, index: int) -> None:
    """Make one sample of a split somewhat larger than all others: ranges change, and stay good."""
    path = project.root / f"data/{split}.npz"
    with np.load(path) as arrays:
        content = {name: arrays[name].copy() for name in arrays.files}
    samples = content["input"]
    samples[index] *= -1.4 * np.abs(samples).max() / np.abs(samples[index]).max()
    np.savez(path, **content)


def test_nothing_changed_runs_only_the_probe(onnx_project: Project) -> None:
    expect(onnx_project.repro(), set())


def test_a_driver_or_another_measuring_fact_repeats_only_the_measurement(
    onnx_project: Project,
) -> None:
    onnx_project.host["bench"] = {"driver": "999.1"}
    expect(onnx_project.repro(), {"benchmark", "report"})


def test_another_cpu_rebuilds_what_was_optimised_for_it_and_the_way_back_restores_it(
    onnx_project: Project,
) -> None:
    before = onnx_project.hashes()
    onnx_project.host["cpu"] = "Another CPU @ 9.99GHz"
    expect(onnx_project.repro(), after(*ORT))
    assert onnx_project.json("metrics/hardware.json")["slug"] == "cpu-another-cpu-9-99ghz"
    there = onnx_project.hashes()
    assert there["build@onnxruntime-fp32"] != before["build@onnxruntime-fp32"]

    onnx_project.host.clear()
    back = onnx_project.repro()
    expect(back, {"report"} - back.restored)
    assert back.restored >= at("build", ORT) | {"benchmark"}
    now = onnx_project.hashes()
    assert {stage: now[stage] for stage in now if stage not in {"probe", "report"}} == {
        stage: before[stage] for stage in now if stage not in {"probe", "report"}
    }


def test_a_tensorrt_version_touches_only_its_variants(onnx_project: Project) -> None:
    onnx_project.host["versions"] = {"tensorrt": "11.4.0.106"}
    expect(onnx_project.repro(), after("tensorrt-fp32"))
    onnx_project.host["versions"] = {"tensorrt": "11.5.0.1"}
    expect(onnx_project.repro(), after("tensorrt-fp32"))


def test_a_build_setting_rebuilds_its_variant(onnx_project: Project) -> None:
    onnx_project.edit(
        "conf/variant/onnxruntime-int8_cpu.yaml", "workspace_mib: 4096", "workspace_mib: 2048"
    )
    onnx_project.compose()
    expect(onnx_project.repro(), {"gate"} | after("onnxruntime-int8_cpu"))


def test_a_run_setting_builds_nothing(onnx_project: Project) -> None:
    onnx_project.edit("conf/variant/onnxruntime-fp32.yaml", "threads: 0", "threads: 1")
    onnx_project.compose()
    expect(onnx_project.repro(), {"gate", "benchmark", "evaluate@onnxruntime-fp32"} | {"report"})


def test_a_recipes_setting_converts_again_and_what_follows(onnx_project: Project) -> None:
    onnx_project.edit("conf/recipe/int8_cpu.yaml", "exclude: []", "exclude: [fc/Gemm]")
    onnx_project.compose()
    expect(
        onnx_project.repro(),
        {"gate", "convert@int8_cpu", "audit@int8_cpu"} | after("onnxruntime-int8_cpu"),
    )


def test_a_calibration_sample_touches_only_what_is_calibrated(onnx_project: Project) -> None:
    change_sample(onnx_project, "calibration", 20)
    expect(
        onnx_project.repro(),
        {"calibrate", "convert@int8_cpu", "audit@int8_cpu"} | after("onnxruntime-int8_cpu"),
    )


def test_a_sample_of_the_parity_check_exports_again(onnx_project: Project) -> None:
    change_sample(onnx_project, "calibration", 0)
    assert "export" in onnx_project.repro().ran


def test_an_evaluation_sample_builds_nothing(onnx_project: Project) -> None:
    change_sample(onnx_project, "evaluation", 3)
    # The calibration is compared with these samples; its ranges, hence the graphs, stay the same.
    compared = {"calibrate", "convert@int8_cpu"}
    expect(
        onnx_project.repro(),
        compared | at("audit", RECIPES) | at("evaluate", ALL) | {"benchmark", "report"},
    )


def test_a_benchmark_setting_measures_again(onnx_project: Project) -> None:
    onnx_project.edit("conf/benchmark/smoke.yaml", "requests: 20", "requests: 21")
    onnx_project.compose()
    expect(onnx_project.repro(), {"gate", "benchmark", "report"})


def test_an_evaluation_setting_evaluates_again(onnx_project: Project) -> None:
    onnx_project.edit("conf/config.yaml", "scorers: [top1, top5]", "scorers: [top1]")
    onnx_project.compose()
    expect(onnx_project.repro(), {"gate", "report"} | at("audit", RECIPES) | at("evaluate", ALL))


def test_the_weights_of_an_onnx_model_rebuild_everything(onnx_project: Project) -> None:
    models.tiny_onnx(onnx_project.root / "model/tiny.onnx", seed=5)
    ran = onnx_project.repro().ran
    assert ran >= {"export", "calibrate", "benchmark", "report"} | at("convert", RECIPES)
    assert ran >= at("build", ALL) | at("evaluate", ORT)


def test_a_library_version_touches_the_stages_that_use_the_library(onnx_project: Project) -> None:
    onnx_project.host["versions"] = {"onnxruntime": "1.99.0"}
    ran = onnx_project.repro().ran
    assert ran >= {"calibrate", "convert@int8_cpu"} | at("build", ORT)
    assert not ran & {"convert@fp32", "build@tensorrt-fp32"}


def test_a_backends_source_touches_its_builds(onnx_project: Project) -> None:
    path = "src/trtproof/backends/tensorrt/reasons.py"
    source = onnx_project.root / path
    source.write_text(source.read_text() + "\n# a comment\n")
    expect(onnx_project.repro(), set())
    source.write_text(source.read_text() + "\nEDITED = 1\n")
    ran = onnx_project.repro().ran
    assert ran & at("build", ALL) == {"build@tensorrt-fp32"}
    assert not ran & {"export", "calibrate", *at("convert", RECIPES), *at("evaluate", ORT)}


def test_a_comment_in_conf_only_passes_the_gate(onnx_project: Project) -> None:
    file = onnx_project.root / "conf/benchmark/smoke.yaml"
    file.write_text("# another comment\n" + file.read_text())
    expect(onnx_project.repro(), {"gate"})


def test_conf_edited_but_not_composed_stops_with_the_command(onnx_project: Project) -> None:
    onnx_project.edit("conf/benchmark/smoke.yaml", "requests: 20", "requests: 22")
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert outcome.ran == {"gate"}
    assert "run `trtproof compose`" in outcome.errors[0]
    assert "benchmark.requests" in outcome.errors[0]


def test_a_dropped_variant_is_gone_and_comes_back_from_the_cache(onnx_project: Project) -> None:
    both = "variant: [onnxruntime-fp32, onnxruntime-int8_cpu, tensorrt-fp32]"
    one = "variant: [onnxruntime-fp32, tensorrt-fp32]"
    onnx_project.edit("conf/config.yaml", both, one)
    onnx_project.compose()
    expect(onnx_project.repro(), {"gate", "benchmark", "report"})
    assert not (onnx_project.root / "artifacts/build/onnxruntime-int8_cpu").exists()
    assert not (onnx_project.root / "metrics/variants/onnxruntime-int8_cpu.json").exists()

    onnx_project.edit("conf/config.yaml", one, both)
    onnx_project.compose()
    back = onnx_project.repro()
    assert back.code == 0, back.output
    assert not back.ran & (at("build", ALL) | at("evaluate", ALL) | {"benchmark"}), back.output
    assert (onnx_project.root / "metrics/variants/onnxruntime-int8_cpu.json").exists()


def test_a_recipe_that_a_variant_needs_cannot_be_deselected(onnx_project: Project) -> None:
    overrides = ("dvc", "exp", "run", "-S", "recipe=[fp32]")
    outcome = onnx_project.command(*overrides)
    assert outcome.code != 0
    assert outcome.ran == {"gate"}
    assert "recipe 'int8_cpu' is not selected" in outcome.errors[0]


def test_deleted_artifacts_come_back_without_work(onnx_project: Project) -> None:
    before = onnx_project.hashes()
    shutil.rmtree(onnx_project.root / "artifacts")
    # report writes files for git, which keeps a stage out of DVC's run-cache; it takes a second
    expect(onnx_project.repro(), {"report"})
    assert onnx_project.hashes() == before
    assert (onnx_project.root / "artifacts/build/onnxruntime-fp32/engine.json").exists()


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("tinynet/layers.py", "x * 2.0", "x * 3.0"),
        ("tinynet/net.py", "torch.relu", "torch.tanh"),
        ("tinynet/width.json", '{"width": 8}', '{"width": 8, "note": 1}'),
    ],
    ids=["imported module", "factory", "file that the factory reads"],
)
def test_a_change_of_the_model_exports_it_again(
    torch_project: Project, path: str, old: str, new: str
) -> None:
    torch_project.edit(path, old, new)
    outcome = torch_project.repro()
    assert outcome.code == 0, outcome.output
    assert outcome.ran >= {"export", "build@torch-fp32", "benchmark", "evaluate@torch-fp32"}
    if path.endswith(".py"):  # the graph itself changed
        assert outcome.ran >= {"calibrate", "convert@fp32", "build@onnxruntime-fp32"}
    else:  # the same graph as before: nothing is built from it again
        assert not outcome.ran & {"calibrate", "convert@fp32", "build@onnxruntime-fp32"}


def test_new_weights_of_a_torch_model_rebuild_everything(torch_project: Project) -> None:
    models.tiny_weights(torch_project.root / "model/tiny.safetensors", seed=7)
    ran = torch_project.repro().ran
    assert ran >= {"export", "convert@fp32", "build@torch-fp32", "build@onnxruntime-fp32"}


def test_a_comment_in_the_models_source_or_a_file_nobody_reads_runs_nothing(
    torch_project: Project,
) -> None:
    torch_project.edit("tinynet/layers.py", "# the factor", "# twice")
    (torch_project.root / "tinynet/notes.txt").write_text("changed\n")
    expect(torch_project.repro(), set())


def test_a_file_that_no_key_contains_stops_the_export(torch_project: Project) -> None:
    (torch_project.root / "tinynet/extra.txt").write_text("8\n")
    torch_project.edit(
        "tinynet/net.py",
        "def make_model():\n",
        "def make_model():\n    (Path(__file__).parent / 'extra.txt').read_text()\n",
    )
    outcome = torch_project.repro()
    assert outcome.code != 0
    assert outcome.errors == [
        "error: opened tinynet/extra.txt, which is not in the key; add it to model.files"
    ]


SCORER = """\
import json
from pathlib import Path

from trtproof.scoring.topk import TOP1

WEIGHT = json.loads((Path(__file__).parent / "weight.json").read_text())


class Weighted:
    predictions = TOP1.predictions

    def score(self, predictions, labels):
        return {"weighted_pct": WEIGHT * TOP1.score(predictions, labels)["top1_pct"]}

    def per_sample(self, predictions, labels):
        return None


SCORER = Weighted()
"""


def test_a_file_that_a_users_scorer_reads_has_to_be_keyed(onnx_project: Project) -> None:
    (onnx_project.root / "mine").mkdir()
    (onnx_project.root / "mine/scorer.py").write_text(SCORER)
    weight = onnx_project.root / "mine/weight.json"
    weight.write_text("1.0\n")
    onnx_project.edit(
        "conf/config.yaml", "scorers: [top1, top5]", 'scorers: [top1, "mine.scorer:SCORER"]'
    )
    onnx_project.edit("conf/config.yaml", "pythonpath: []", "pythonpath: [.]")
    onnx_project.compose()
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert outcome.errors == [
        "error: opened mine/weight.json, which is not in the key; add it to dataset.files"
    ]

    onnx_project.edit("conf/dataset/columns.yaml", "files: []", "files: [mine/*.json]")
    onnx_project.compose()
    assert onnx_project.repro().code == 0
    weight.write_text("0.5\n")
    assert onnx_project.repro().ran >= at("evaluate", ORT) | {"report"}


def test_an_editable_package_is_keyed_by_its_source(torch_project: Project) -> None:
    sources = torch_project.root / "lib/src"
    sources.mkdir(parents=True)
    shutil.move(torch_project.root / "tinynet", sources / "tinynet")
    (sources / "tinynet.egg-info").mkdir()
    (sources / "tinynet.egg-info/PKG-INFO").write_text("Name: tinynet\nVersion: 0.1\n")
    (sources / "tinynet.egg-info/top_level.txt").write_text("tinynet\n")
    torch_project.edit("conf/config.yaml", "pythonpath: [.]", "pythonpath: [lib/src]")
    torch_project.edit("conf/model/tiny_torch.yaml", "tinynet/*.json", "lib/src/tinynet/*.json")
    torch_project.compose()
    assert torch_project.repro().code == 0
    torch_project.edit("lib/src/tinynet/layers.py", "x * 2.0", "x * 9.0")
    assert torch_project.repro().ran >= {"export", "build@torch-fp32"}
