"""A plan made elsewhere: loaded here once, held against the model and the asked precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.fakes import SIGNATURE, make_feeds
from tests.tensorrt_builds import BATCHES, make_build, use_fake
from tests.tensorrt_plans import PLAN_FILE, write_variant

from trtproof import artifacts
from trtproof.backends.base import BuildSpec, CompileRecord, RunOptions, run_once
from trtproof.backends.tensorrt import BACKEND
from trtproof.errors import BackendError, BuildFailedError
from trtproof.models.base import ModelFiles
from trtproof.tensor import Signature


@dataclass
class Foreign:
    """A plan that somebody else built, and where a variant would go."""

    plan: Path
    model: ModelFiles
    out: Path
    spec: BuildSpec

    def adopt(self, **changes: object) -> CompileRecord:
        return BACKEND.compile(self.model, replace(self.spec, **changes), self.out)  # type: ignore[arg-type]


def make_foreign(folder: Path, host: Host) -> Foreign:
    model = make_build(folder, host=host).model
    plan = folder / "x.plan"
    (write_variant(folder / "made", host=host) / PLAN_FILE).replace(plan)
    out = folder / "adopted"
    out.mkdir()
    spec = BuildSpec(
        precision="fp32",
        tf32=False,
        workspace_mib=64,
        profiles=[BATCHES],
        options={},
        facts=host.facts(),
        model_config={},
        plan=plan,
    )
    return Foreign(plan, model, out, spec)


@pytest.fixture(params=VERSIONS)
def foreign(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Foreign:
    host = Host(version=request.param)
    use_fake(monkeypatch, host)
    return make_foreign(tmp_path, host)


def test_the_plan_is_copied_recorded_inspected_and_runs(foreign: Foreign) -> None:
    record = foreign.adopt()
    assert (foreign.out / record.plan).read_bytes() == foreign.plan.read_bytes()
    made = record.facts["made_elsewhere"]
    assert made["sha256"] == artifacts.sha256_file(foreign.plan)
    assert made["file"].endswith("x.plan")
    assert record.facts["inspection"]["precision"]["verdict"] == "as_asked"
    assert record.layers
    assert record.facts["may_differ"] == {}
    (foreign.out / "signature.json").write_text(
        (foreign.model.folder / "signature.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    options = RunOptions(threads=1, device="cuda")
    with BACKEND.open(foreign.out, record.plan, options) as opened:
        answers = run_once(opened.runner(0), make_feeds(2))
    assert answers["logits"].shape[0] == 2


def test_another_precision_than_the_recipes_is_refused(foreign: Foreign) -> None:
    with pytest.raises(BuildFailedError, match="asked for float16"):
        foreign.adopt(precision="fp16")
    assert foreign.adopt(precision="fp16", options={"precision_gate": "warn"}).plan


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        (replace(SIGNATURE, inputs=()), "it has 'input', which the model has not"),
        (
            replace(SIGNATURE, inputs=(replace(SIGNATURE.inputs[0], dtype="float16"),)),
            "its input 'input' is FLOAT, the model's float16",
        ),
        (
            replace(SIGNATURE, outputs=(replace(SIGNATURE.outputs[0], name="scores"),)),
            "it has no output 'scores'",
        ),
        (Signature(SIGNATURE.outputs, SIGNATURE.inputs), "it has no input 'logits'"),
    ],
)
def test_a_plan_of_another_model_is_refused(
    foreign: Foreign, signature: Signature, problem: str
) -> None:
    foreign.model = ModelFiles(foreign.model.folder, signature)
    with pytest.raises(BuildFailedError) as caught:
        foreign.adopt()
    assert problem in caught.value.text
    assert caught.value.code == "other_model"
    assert list(foreign.out.iterdir()) == []


def test_a_plan_of_another_version_or_a_broken_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake(monkeypatch, Host(version="10.16.1.11"))
    foreign = make_foreign(tmp_path, Host(version="10.16.1.11"))
    use_fake(monkeypatch, Host(version="11.4.0.106"))
    with pytest.raises(BuildFailedError, match="expecting library version") as caught:
        foreign.adopt()
    assert "x.plan" in caught.value.text
    foreign.plan.write_bytes(b"not a plan")
    with pytest.raises(BuildFailedError, match="magicTag"):
        foreign.adopt()


def test_no_memory_for_the_plan_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake(monkeypatch)
    foreign = make_foreign(tmp_path, Host())
    use_fake(monkeypatch, Host(faults={"runtime_out_of_memory": ""}))
    with pytest.raises(BackendError, match="emory"):
        foreign.adopt()
