import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from trtproof.dvc_state import folder_md5, read_lock, read_states, run_probe
from trtproof.errors import InputError, PipelineError
from trtproof.why import Verdict, forecast

PIPELINE = """
stages:
  probe:
    cmd: "cp facts.json hardware.json"
    always_changed: true
    outs: [hardware.json: {cache: false, persist: true}]
  export:
    cmd: "mkdir -p artifacts/export && cp model.txt artifacts/export/ && cat settings.yaml"
    deps: [model.txt]
    params: [settings.yaml: [export]]
    outs: [artifacts/export]
  build:
    foreach: {a: {backend: torch}, b: {backend: ort}}
    do:
      cmd: >-
        mkdir -p artifacts/build/${key} &&
        cat hardware.json artifacts/export/* > artifacts/build/${key}/plan
      deps: [artifacts/export]
      params: ["hardware.json": ["engine.${item.backend}"]]
      outs: ["artifacts/build/${key}"]
  benchmark:
    cmd: "mkdir -p artifacts/benchmark && ls artifacts/build > artifacts/benchmark/list"
    deps: [artifacts/build]
    params: [settings.yaml: [rounds]]
    outs: [artifacts/benchmark]
"""


def dvc(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], check=True, capture_output=True)


def write_facts(torch: str = "2.12.0", ort: str = "1.31.0") -> None:
    facts = {"engine": {"torch": {"version": torch, "isa": "avx2"}, "ort": {"version": ort}}}
    for name in ("facts.json", "hardware.json"):  # the second as the probe would write it
        Path(name).write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A DVC project whose pipeline has run once."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        dvc("init", "--no-scm", "-q")
        dvc("config", "core.analytics", "false")
        Path("dvc.yaml").write_text(PIPELINE, encoding="utf-8")
        Path("model.txt").write_text("model", encoding="utf-8")
        Path("settings.yaml").write_text("export: {opset: 20}\nrounds: 8\n", encoding="utf-8")
        write_facts()
        dvc("repro", "-q")
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    monkeypatch.chdir(copy)
    return copy


def answer() -> dict[str, tuple[Verdict, list[str]]]:
    return {
        item.name: (item.verdict, [str(cause) for cause in item.causes])
        for item in forecast(read_states())
    }


def verdicts() -> dict[str, Verdict]:
    return {name: verdict for name, (verdict, _) in answer().items()}


UP_TO_DATE = {
    "probe": Verdict.JUST_RAN,
    "export": Verdict.UP_TO_DATE,
    "build@a": Verdict.UP_TO_DATE,
    "build@b": Verdict.UP_TO_DATE,
    "benchmark": Verdict.UP_TO_DATE,
}


def test_an_unchanged_project_is_up_to_date(project):
    assert verdicts() == UP_TO_DATE


def test_a_version_runs_exactly_its_backends_builds_and_names_the_field(project):
    write_facts(torch="2.13.0")
    found = answer()
    assert found["build@a"] == (
        Verdict.WILL_RUN,
        ["hardware.json engine.torch.version: 2.12.0 -> 2.13.0"],
    )
    assert found["build@b"] == (Verdict.UP_TO_DATE, [])
    assert found["benchmark"] == (Verdict.UNDECIDED, [])


def test_going_back_to_known_facts_restores_the_build(project):
    write_facts(torch="2.13.0")
    dvc("repro", "-q")
    write_facts()
    found = answer()
    assert found["build@a"][0] is Verdict.RESTORED
    assert found["build@a"][1] == ["hardware.json engine.torch.version: 2.13.0 -> 2.12.0"]
    assert found["benchmark"][0] is Verdict.UNDECIDED


def test_a_setting_names_its_file_and_key(project):
    Path("settings.yaml").write_text("export: {opset: 20}\nrounds: 12\n", encoding="utf-8")
    found = answer()
    assert found["benchmark"] == (Verdict.WILL_RUN, ["settings.yaml rounds: 8 -> 12"])
    assert found["export"][0] is Verdict.UP_TO_DATE


def test_a_changed_file_is_a_cause(project):
    Path("model.txt").write_text("another", encoding="utf-8")
    found = answer()
    assert found["export"] == (Verdict.WILL_RUN, ["model.txt is not what it last read"])
    assert found["build@b"][0] is Verdict.UNDECIDED


def test_deleted_artifacts_are_restored_and_nothing_runs(project):
    shutil.rmtree("artifacts")
    restored = dict.fromkeys(UP_TO_DATE, Verdict.RESTORED) | {"probe": Verdict.JUST_RAN}
    assert verdicts() == restored


def test_artifacts_that_the_cache_lost_too_are_made_again(project):
    shutil.rmtree("artifacts")
    shutil.rmtree(Path(".dvc/cache/files"))
    assert verdicts()["export"] is Verdict.WILL_RUN


def test_a_changed_command_is_a_cause(project):
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    Path("dvc.yaml").write_text(text.replace("ls artifacts", "ls -a artifacts"), encoding="utf-8")
    verdict, causes = answer()["benchmark"]
    assert verdict is Verdict.WILL_RUN
    assert causes[0].startswith("its command: ")


def test_before_the_first_run_all_will_run(project):
    Path("dvc.lock").unlink()
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("artifacts")
    found = answer()
    assert found["export"] == (Verdict.WILL_RUN, ["it never ran here"])
    assert found["benchmark"][0] is Verdict.WILL_RUN


def test_asking_changes_nothing(project):
    write_facts(torch="2.13.0")
    lock = Path("dvc.lock").read_bytes()
    read_states()
    assert Path("dvc.lock").read_bytes() == lock


def test_sizes_come_from_the_lock(project):
    sizes = {state.name: state.size_bytes for state in read_states()}
    assert sizes["export"] == len("model")


def test_the_stages_come_in_flow_order(project):
    data = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    stages = dict(reversed(data["stages"].items()))
    Path("dvc.yaml").write_text(
        yaml.safe_dump({"stages": stages}, sort_keys=False), encoding="utf-8"
    )
    names = [state.name for state in read_states()]
    assert names.index("export") < names.index("build@a") < names.index("benchmark")


def test_a_folder_of_several_outputs_is_hashed_as_dvc_does(project):
    lock = read_lock()
    outs = [out for name in ("build@a", "build@b") for out in lock[name]["outs"]]
    read = next(dep for dep in lock["benchmark"]["deps"] if dep["path"] == "artifacts/build")
    assert folder_md5("artifacts/build", outs, Path(".dvc/cache/files/md5")) == read["md5"]


def test_the_probe_runs_and_nothing_else(project):
    write_facts(torch="2.13.0")
    Path("hardware.json").unlink()
    before = Path("artifacts/build/a/plan").read_bytes()
    run_probe()
    assert Path("hardware.json").read_bytes() == Path("facts.json").read_bytes()
    assert Path("artifacts/build/a/plan").read_bytes() == before


def test_a_failing_probe_is_one_line(project):
    text = PIPELINE.replace("cp facts.json hardware.json", "echo 'error: no such GPU' >&2; exit 1")
    Path("dvc.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PipelineError, match=r"^no such GPU$"):
        run_probe()


def test_a_folder_without_dvc_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match="not inside of a DVC repository"):
        read_states()


def test_a_broken_lock_names_the_repair(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text("stages: [", encoding="utf-8")
    with pytest.raises(InputError, match="git checkout"):
        read_lock(path)
