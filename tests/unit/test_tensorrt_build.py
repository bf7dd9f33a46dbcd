"""The build of a plan, in its own process, on the strict fake of both majors."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests import tensorrt_builds as builds
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.plan import read_plan
from tests.fake_tensorrt.surface import VERSIONS

from trtproof.backends.tensorrt import build as build_module
from trtproof.backends.tensorrt.plugins import plugins_beside
from trtproof.errors import BackendError, BuildFailedError, ConfigError, MissingFileError


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> builds.Build:
    builds.use_fake(monkeypatch)
    return builds.make_build(tmp_path)


def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **faults: str) -> builds.Build:
    host = Host(faults=faults)
    builds.use_fake(monkeypatch, host)
    return builds.make_build(tmp_path, host=host)


def mapped_files() -> list[Path]:
    """Return the files that this process has mapped: shared libraries among them."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [Path(words[5]) for line in lines if len(words := line.split()) > 5]


def header(build: builds.Build) -> dict[str, Any]:
    plan = read_plan((build.out / "engine.plan").read_bytes())
    assert plan is not None
    return plan[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_holds_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    host = Host(version=version)
    builds.use_fake(monkeypatch, host)
    build = builds.make_build(tmp_path, host=host)
    record = build.run(
        profiles=[{"batch": (1, 4, 8)}, {"batch": (16, 16, 32)}],
        workspace_mib=96,
        max_aux_streams=2,
        builder_optimization_level=5,
        tiling_optimization_level="FAST",
        avg_timing_iterations=4,
        version_compatible=True,
        embed_lean_runtime=False,
        hardware_compatibility="SAME_COMPUTE_CAPABILITY",
    )
    made = header(build)
    assert record.plan == "engine.plan"
    assert made["version"] == record.facts["tensorrt"] == version
    assert made["tf32"] is False
    assert made["verbosity"] == "DETAILED"
    assert (made["version_compatible"], made["lean_runtime"]) == (True, False)
    assert [profile["input"] for profile in made["profiles"]] == [
        [[1, 1, 6, 6], [4, 1, 6, 6], [8, 1, 6, 6]],
        [[16, 1, 6, 6], [16, 1, 6, 6], [32, 1, 6, 6]],
    ]
    assert record.facts["effective"] == {
        "builder_optimization_level": 5,
        "max_aux_streams": 2,
        "avg_timing_iterations": 4,
        "tiling_optimization_level": "FAST",
        "hardware_compatibility": "SAME_COMPUTE_CAPABILITY",
        "tf32": False,
        "workspace_mib": 96,
        "profiles": 2,
    }
    assert record.facts["network_layers"] == 7


def test_tf32_is_set_where_it_is_asked_for(build: builds.Build) -> None:
    build.tf32 = True
    assert build.run().facts["effective"]["tf32"] is True
    assert header(build)["tf32"] is True


def test_two_builds_give_the_same_bytes(build: builds.Build) -> None:
    build.run()
    first = (build.out / "engine.plan").read_bytes()
    build.run()
    assert (build.out / "engine.plan").read_bytes() == first


def test_the_log_is_kept_without_the_verbose_lines_unless_asked(build: builds.Build) -> None:
    log = build.run().log
    assert "[INFO] [MemUsageStats]" in log
    assert "[VERBOSE]" not in log
    assert "[VERBOSE] Engine generation completed." in build.run(verbose_log=True).log


def test_the_timing_cache_is_reused_by_the_next_build_of_the_same_key(build: builds.Build) -> None:
    first = build.run().facts
    second = build.run().facts
    other = build.run(builder_optimization_level=4).facts
    assert first["timing_cache_reused"] is False
    assert second["timing_cache_reused"] is True
    assert other["timing_cache_reused"] is False
    files = sorted(build.cache.iterdir())
    assert len(files) == 2
    content = files[0].read_bytes().split(b"\n", 3)[3]
    assert second["timing_cache_sha256"] == hashlib.sha256(content).hexdigest()


def test_a_timing_cache_that_tensorrt_refuses_costs_nothing_but_time(
    build: builds.Build, capfd: pytest.CaptureFixture[str]
) -> None:
    build.run()
    (file,) = build.cache.iterdir()
    junk = b"timings of another version"
    digest = hashlib.sha256(junk).hexdigest().encode()
    magic, key, _, _ = file.read_bytes().split(b"\n", 3)
    file.write_bytes(b"\n".join((magic, key, digest, junk)))
    record = build.run()
    assert record.facts["timing_cache_reused"] is False
    assert "refuses the kept timing cache" in capfd.readouterr().err
    assert build.run().facts["timing_cache_reused"] is True


def test_no_timing_cache_is_kept_where_none_is_wanted(build: builds.Build) -> None:
    assert "timing_cache_sha256" not in build.run(timing_cache=False).facts
    assert not build.cache.exists()


def test_all_that_the_parser_refuses_is_named_at_once(build: builds.Build) -> None:
    build.change(builds.use_foreign_operators)
    with pytest.raises(BuildFailedError) as caught:
        build.run()
    assert caught.value.code == "model_refused"
    assert "node 'stem/Relu' (Relu)" in caught.value.text
    assert "node 'pool' (GlobalAveragePool)" in caught.value.text
    assert "Plugin not found" in caught.value.text
    assert "Plugin not found" in caught.value.log
    assert list(build.out.iterdir()) == []


def test_an_unsupported_node_is_named_though_tensorrt_only_says_false(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = broken(monkeypatch, tmp_path, unsupported="Relu Gemm")
    with pytest.raises(BuildFailedError, match=r"node 'fc' \(Gemm\) UNSUPPORTED_NODE") as caught:
        build.run()
    assert "stem/Relu" in caught.value.text
    assert "false" not in caught.value.text
    assert "plug-in" in caught.value.repair


@pytest.mark.parametrize(
    ("fault", "code"),
    [("no_implementation", "no_implementation"), ("unhelpful", "build_failed")],
)
def test_a_lasting_refusal_is_a_failed_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, code: str
) -> None:
    with pytest.raises(BuildFailedError) as caught:
        broken(monkeypatch, tmp_path, **{fault: ""}).run()
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"out_of_memory": ""}, "OutOfMemory.*free GPU memory"),
        ({"no_implementation": "", "starved": ""}, "Available: 300MB.*free GPU memory"),
        ({"cuda_error": ""}, "illegal memory access.*trtproof doctor"),
        ({"builder_nullptr": ""}, "CUDA cannot be initialised.*nvidia-smi"),
    ],
)
def test_what_may_go_better_another_time_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: dict[str, str], words: str
) -> None:
    with pytest.raises(BackendError, match=words):
        broken(monkeypatch, tmp_path, **faults).run()


def test_a_crash_of_the_library_ends_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=r"SIGSEGV; .*the last line before the crash"):
        broken(monkeypatch, tmp_path, crash="").run()


def test_a_build_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "SECONDS_PER_MINUTE", 2)
    with pytest.raises(BackendError, match="took longer than 1 minutes and was stopped"):
        broken(monkeypatch, tmp_path, slow="600").run(max_build_minutes=1)


def test_a_flag_without_effect_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = broken(monkeypatch, tmp_path, compatibility_ignored="")
    with pytest.raises(BuildFailedError, match="AMPERE_PLUS, but TensorRT leaves it at NONE") as e:
        build.run(hardware_compatibility="AMPERE_PLUS")
    assert e.value.code == "not_in_effect"
    assert "is unsupported here" in e.value.text
    build = broken(monkeypatch, build.out, flag_ignored="VERSION_COMPATIBLE")
    with pytest.raises(BuildFailedError, match="VERSION_COMPATIBLE was to be True"):
        build.run(version_compatible=True)


def test_too_small_a_workspace_is_said(
    build: builds.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BuildFailedError) as caught:
        build.run(workspace_mib=0)
    assert caught.value.code == "workspace_too_small"
    assert "build.workspace_mib" in caught.value.repair


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"turbo": True}, "build.options: .*turbo"),
        ({"builder_optimization_level": 6}, "build.options.builder_optimization_level"),
        ({"hardware_compatibility": "ALL"}, "build.options.hardware_compatibility"),
        ({"max_aux_streams": -1}, "build.options.max_aux_streams"),
    ],
)
def test_a_wrong_option_names_its_key(
    build: builds.Build, option: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        build.run(**option)


def test_what_may_differ_follows_from_the_options(build: builds.Build) -> None:
    assert build.run().facts["may_differ"] == {}
    portable = build.run(version_compatible=True, hardware_compatibility="AMPERE_PLUS")
    assert portable.facts["may_differ"] == {
        "bindings": "later",
        "libraries": "later",
        "gpu": "any",
        "memory_gib": "any",
        "compute_capability": "from 8.0",
    }


def test_a_plug_in_that_is_not_there_is_named(build: builds.Build) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.so does not exist"):
        build.run(plugins=["nowhere.so"])


def test_a_plug_in_that_is_no_library_is_told(build: builds.Build, tmp_path: Path) -> None:
    (tmp_path / "mine.so").write_bytes(b"no library")
    with pytest.raises(BackendError, match=r"mine\.so cannot be loaded"):
        build.run(plugins=[str(tmp_path / "mine.so")])


def test_a_plug_in_is_loaded_and_lies_beside_the_plan(build: builds.Build, tmp_path: Path) -> None:
    found = next(path for path in mapped_files() if path.name.startswith(("libm.", "libm-")))
    shutil.copyfile(found, tmp_path / "mine.so")
    build.run(plugins=[str(tmp_path / "mine.so")])
    copy = build.out / "plugins/00-mine.so"
    assert copy.read_bytes() == found.read_bytes()
    assert plugins_beside(build.out) == [copy]
