import json
import os
import re
import subprocess
import sys
from typing import Any

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fake_machine.fake_nvml import FakeGpu, FakeNvml, make_error, make_gpus

import trtproof.nvml
from trtproof import (
    artifacts,
    distributions,
    probing,
    probing_cpu,
    probing_gpu,
    probing_tensorrt,
)
from trtproof.config import TargetConfig
from trtproof.device_choice import use_device
from trtproof.errors import HardwareError

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Processor @ 2.50GHz
flags\t\t: fpu sse4_1 fma avx avx2 avx512f avx512_vnni
physical id\t: 0
core id\t\t: 0

processor\t: 1
model name\t: Intel(R) Xeon(R) Processor @ 2.50GHz
flags\t\t: fpu sse4_1 fma avx avx2 avx512f avx512_vnni
physical id\t: 0
core id\t\t: 0
"""
GRAVITON = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd asimddp asimdhp i8mm bf16 sve
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""
VERSIONS = {"torch": "2.13.0+cu130", "onnxruntime-gpu": "1.31.1"}


class Machine:
    """The machine that the probe sees, changed by a test before it asks."""

    def __init__(self, monkeypatch) -> None:
        self.patch = monkeypatch
        self.cpuinfo = XEON
        self.versions: dict[str, str] = dict(VERSIONS)
        monkeypatch.setattr(probing_cpu, "read_cpuinfo", lambda: self.cpuinfo)
        monkeypatch.setattr(probing_cpu, "usable_cores", lambda: [0, 1])
        monkeypatch.setattr(distributions, "installed_version", self.versions.get)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        self.put_nvml(None)

    def put_nvml(self, nvml: FakeNvml | None, error: Exception | None = None) -> None:
        placed = nvml or FakeNvml()
        placed.start_error = error or (None if nvml else pynvml.NVMLError_LibraryNotFound())
        self.patch.setitem(sys.modules, "pynvml", placed)
        self.patch.setattr(trtproof.nvml, "has_device_nodes", lambda: False)


def host(count: int = 1, **facts: Any) -> FakeNvml:
    return FakeNvml(*make_gpus(count, **facts))


@pytest.fixture
def machine(monkeypatch) -> Machine:
    return Machine(monkeypatch)


def target(device: Any = "auto", gpu_index: int = 0, require: tuple[str, ...] = ()) -> TargetConfig:
    return TargetConfig(device=device, gpu_index=gpu_index, require=list(require))


def test_a_cpu_is_named_with_the_instruction_sets_that_matter(machine):
    machine.versions.clear()
    machine.versions |= {"torch": "2.13.0+cpu", "onnxruntime": "1.31.1"}
    found = probing.probe(target())
    facts = {
        "device": "cpu",
        "cpu": "Intel Xeon Processor @ 2.50GHz",
        "isa": "avx+avx2+avx512_vnni+avx512f+fma+sse4_1",
    }
    assert found.slug == "cpu-intel-xeon-processor-2-50ghz"
    assert found.engine == {
        "torch": {"version": "2.13.0"} | facts,
        "onnxruntime": {"version": "1.31.1"} | facts,
        "tensorrt": {},
    }
    assert found.bench["cpu"] == facts["cpu"]
    assert (found.bench["threads_count"], found.bench["cores_count"]) == (2, 1)


def test_an_arm_cpu_is_named_by_its_part_number(machine):
    machine.cpuinfo = GRAVITON
    assert probing_cpu.cpu_facts() == {
        "cpu": "ARM Neoverse-V1",
        "isa": "bf16+dotprod+i8mm+neon+neon_fp16+sve",
    }


def test_a_gpu_is_described_apart_from_what_decides_timings(machine):
    machine.put_nvml(host())
    machine.versions |= {
        "nvidia-cuda-runtime": "13.0.96",
        "tensorrt-cu13-bindings": "10.16.1.11",
        "tensorrt-cu13-libs": "10.16.1.11",
    }
    found = probing.probe(target())
    device = {
        "device": "cuda",
        "gpu": "NVIDIA H200",
        "compute_capability": "9.0",
        "memory_gib": 140,
        "cuda": "13.0.96",
    }
    assert found.slug == "nvidia-h200-sm90"
    assert found.engine["torch"] == {"version": "2.13.0"} | device
    assert found.engine["onnxruntime"] == {"version": "1.31.1"} | device
    assert (
        found.engine["tensorrt"] == {"bindings": "10.16.1.11", "libraries": "10.16.1.11"} | device
    )
    assert found.bench["driver"] == "580.95.05"
    assert found.bench["power_limit_w"] == 700
    assert found.bench["ecc"] == "on"
    assert found.bench["cpu"] == "Intel Xeon Processor @ 2.50GHz"
    assert re.fullmatch(r"[0-9a-f]{16}", found.bench["gpu_uuid"])


def test_a_cpu_target_on_a_gpu_host_is_a_cpu_run(machine):
    machine.put_nvml(host())
    machine.versions["tensorrt-cu13-bindings"] = "10.16.1.11"
    found = probing.probe(target("cpu"))
    assert found.slug.startswith("cpu-")
    assert found.engine["torch"]["device"] == "cpu"
    assert found.engine["tensorrt"] == {"bindings": "10.16.1.11"}
    assert "driver" not in found.bench


def test_the_cuda_runtime_is_told_by_torch_where_it_has_no_package(machine):
    assert probing_gpu.cuda_version() == "13.0"
    machine.versions["torch"] = "2.13.0"
    assert probing_gpu.cuda_version() is None


def test_a_fact_that_a_gpu_does_not_have_is_left_out(machine):
    machine.put_nvml(host(refuses={"nvmlDeviceGetEccMode"}))
    assert "ecc" not in probing.probe(target()).bench


def test_the_facts_are_json_without_dots_in_the_slug(machine):
    machine.put_nvml(host(name="NVIDIA GeForce RTX 4090 D (v1.5)"))
    found = probing.probe(target())
    assert found.slug == "nvidia-geforce-rtx-4090-d-v1-5-sm90"
    assert json.loads(artifacts.to_json(found.to_json()))["slug"] == found.slug


@pytest.mark.parametrize(
    "call", ["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetName", "nvmlSystemGetDriverVersion"]
)
def test_a_gpu_that_does_not_answer_is_an_error_and_never_the_cpu(machine, call):
    machine.put_nvml(host(broken={call: pynvml.NVML_ERROR_GPU_IS_LOST}))
    with pytest.raises(HardwareError, match=rf"does not answer {call}.*nvidia-smi"):
        probing.probe(target())


def test_nvml_that_does_not_start_is_an_error(machine):
    machine.put_nvml(None, make_error(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    with pytest.raises(HardwareError, match="NVML does not start"):
        probing.probe(target())


def test_a_gpu_without_its_driver_is_an_error(machine, monkeypatch):
    machine.put_nvml(None, make_error(pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    assert probing.choose_device(target()) is None
    monkeypatch.setattr(trtproof.nvml, "has_device_nodes", lambda: True)
    with pytest.raises(HardwareError, match="its driver does not answer"):
        probing.choose_device(target())


@pytest.mark.parametrize(("mode", "name"), [(3, "EXCLUSIVE_PROCESS"), (2, "PROHIBITED")])
def test_an_exclusive_gpu_is_refused_with_the_repair(machine, mode, name):
    machine.put_nvml(host(compute_mode=mode))
    with pytest.raises(HardwareError, match=rf"{name}.*nvidia-smi -i 0 -c DEFAULT"):
        probing.probe(target())


def test_a_cuda_target_without_a_gpu_is_an_error(machine):
    with pytest.raises(HardwareError, match=r"target\.device is cuda.*target=cpu"):
        probing.probe(target("cuda"))


def test_the_gpu_is_chosen_by_its_index(machine):
    machine.put_nvml(host(2))
    first, second = (probing_gpu.find_gpu(index) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert first.short_uuid != second.short_uuid
    with pytest.raises(HardwareError, match=r"target\.gpu_index is 2, but this machine shows 2"):
        probing_gpu.find_gpu(2)


def test_all_visible_gpus_are_listed_in_their_order_and_none_where_there_is_none(
    machine, monkeypatch
):
    assert probing_gpu.find_gpus() == []
    machine.put_nvml(host(3))
    assert [gpu.index for gpu in probing_gpu.find_gpus()] == [0, 1, 2]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [gpu.index for gpu in probing_gpu.find_gpus()] == [2, 0]


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [("1", [1]), ("1,0", [1, 0]), ("GPU-1fe4", [1]), ("0,9,1", [0]), (" 1 , 0", [1, 0])],
)
def test_visible_devices_choose_and_order_the_gpus(machine, monkeypatch, visible, numbers):
    nvml: Any = host(2)
    nvml.nvmlInit()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [nvml.gpus.index(gpu) for gpu in probing_gpu.visible_devices(nvml)] == numbers


def test_numbers_of_different_gpus_need_one_order(machine, monkeypatch):
    nvml: Any = host(2)
    nvml.nvmlInit()
    nvml.gpus[0].name = "NVIDIA T4"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(HardwareError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        probing_gpu.visible_devices(nvml)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert probing_gpu.visible_devices(nvml) == nvml.gpus[:1]


PARTS = ("MIG-a", "MIG-b")


@pytest.mark.parametrize(
    ("visible", "index", "uuid"),
    [
        (None, 0, "GPU-0fe4c1d0"),
        (None, 1, "MIG-a"),
        (None, 2, "MIG-b"),
        ("1", 0, "MIG-a"),
        ("MIG-b", 0, "MIG-b"),
        ("MIG-b,MIG-a", 1, "MIG-a"),
    ],
)
def test_of_a_gpu_in_parts_one_part_is_chosen(machine, monkeypatch, visible, index, uuid):
    nvml = host(2)
    nvml.gpus[1].parts = [
        FakeGpu(part, name="NVIDIA H200 MIG", total_bytes=2**34) for part in PARTS
    ]
    machine.put_nvml(nvml)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = probing_gpu.find_gpu(index)
    assert found is not None
    assert found.uuid.startswith(uuid)
    if uuid in PARTS:
        assert (found.index, found.memory_gib, found.name) == (1, 16, "NVIDIA H200 MIG")
        assert found.settings["power_limit_w"] == 700  # its board's


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_process_of_a_run_sees_the_probed_gpu_alone(machine, monkeypatch, index):
    nvml = host(3)
    nvml.gpus[(index + 1) % 3].compute_mode = 3  # another one's mode is no matter of ours
    machine.put_nvml(nvml)
    found = probing.probe(target(gpu_index=index))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1,0")  # set between the stages: it still is it
    use_device(found)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == nvml.gpus[index].uuid
    use_device(found)  # as a child that inherits it


def test_a_probed_gpu_that_is_hidden_since_is_an_error(machine, monkeypatch):
    machine.put_nvml(host(2))
    found = probing.probe(target(gpu_index=1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(HardwareError, match="dvc repro probe"):
        use_device(found)


def test_a_run_on_the_cpu_leaves_the_choice_of_gpus_alone(machine, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    use_device(probing.probe(target("cpu")))
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("visible", ["", "-1", "7"])
def test_a_hidden_gpu_is_an_error_and_never_the_cpu(machine, monkeypatch, visible):
    machine.put_nvml(host())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(HardwareError, match=r"hides every one.*target=cpu"):
        probing.probe(target())
    assert probing.probe(target("cpu")).slug.startswith("cpu-")


def test_both_builds_of_onnx_runtime_are_refused_with_the_repair(machine):
    machine.versions["onnxruntime"] = "1.30.0"
    with pytest.raises(HardwareError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        probing.probe(target("cpu"))


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"torch": "2.13.0+cpu"}, r"torch 2\.13\.0\+cpu is a build without CUDA"),
        ({"onnxruntime": "1.31.1"}, r"onnxruntime 1\.31\.1 is the build for CPUs"),
    ],
)
def test_a_build_that_cannot_use_the_gpu_is_an_error(machine, versions, message):
    machine.put_nvml(host())
    machine.versions.clear()
    machine.versions |= versions
    with pytest.raises(HardwareError, match=message):
        probing.probe(target())


def test_a_required_backend_that_is_missing_is_an_error(machine):
    machine.put_nvml(host())
    with pytest.raises(
        HardwareError, match=r"target\.require lists tensorrt.*trtproof\[tensorrt\]"
    ):
        probing.probe(target(require=("tensorrt",)))
    machine.versions["tensorrt"] = "10.16.1.11"
    assert (
        probing.probe(target(require=("tensorrt",))).engine["tensorrt"]["bindings"] == "10.16.1.11"
    )


def test_two_builds_of_tensorrts_bindings_are_an_error(machine):
    machine.versions |= {"tensorrt-cu12-bindings": "11.4", "tensorrt-cu13-bindings": "11.4"}
    with pytest.raises(HardwareError, match=r"pip uninstall -y tensorrt-cu13-bindings tensorrt-cu"):
        probing.probe(target())


def test_tensorrt_rtx_alone_is_known_for_what_it_is_and_meets_no_requirement(machine):
    machine.versions["tensorrt-rtx"] = "1.7.1"
    assert probing.probe(target()).engine["tensorrt"] == {"rtx": "1.7.1"}
    with pytest.raises(HardwareError, match=r"target\.require lists tensorrt"):
        probing.probe(target(require=("tensorrt",)))


def test_libraries_of_the_system_are_found_by_their_file_names(machine, monkeypatch, tmp_path):
    machine.versions["tensorrt"] = "10.16.1.11"
    monkeypatch.setattr(probing_tensorrt, "SYSTEM_FOLDERS", (str(tmp_path / "system"),))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'none'}::{tmp_path / 'lib'}")
    assert "libraries" not in probing_tensorrt.installed()
    (tmp_path / "system").mkdir()
    (tmp_path / "system/libnvinfer.so.11").touch()
    assert "libraries" not in probing_tensorrt.installed()
    (tmp_path / "system/libnvinfer.so.10").touch()
    assert probing_tensorrt.installed()["libraries"] == "10"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libnvinfer.so.10.16.1").touch()
    (tmp_path / "lib/libnvinfer.so.10").symlink_to("libnvinfer.so.10.16.1")
    assert probing_tensorrt.installed()["libraries"] == "10.16.1"


@pytest.mark.parametrize(
    ("driver", "cuda", "needs"),
    [
        ("580.65.06", "13.0", None),
        ("575.51.03", "13.0", 580),
        ("535.54.03", "12.9", None),
        ("530.30.02", "12", 535),
        ("530.30.02", "14", None),
        (None, "13", None),
        ("530.30.02", None, None),
    ],
)
def test_a_driver_is_a_fact_only_where_it_is_too_old(driver, cuda, needs):
    found = probing_tensorrt.driver_shortfall(driver, cuda)
    assert found == (
        {"driver_too_old": {"driver": driver, "cuda": cuda, "needs": needs}} if needs else {}
    )


def test_the_driver_is_held_against_what_the_packages_are_built_for(machine):
    machine.put_nvml(FakeNvml(*make_gpus(1), driver="550.54.15"))
    machine.versions |= {"torch": "2.13.0", "tensorrt-cu13-bindings": "11.4.0.106"}
    facts = probing.probe(target()).engine["tensorrt"]
    assert facts["cuda"] == "13"
    assert facts["driver_too_old"] == {"driver": "550.54.15", "cuda": "13", "needs": 580}


def test_a_machine_that_says_nothing_still_has_a_name(machine):
    machine.cpuinfo = ""
    assert probing_cpu.cpu_facts()["cpu"]
    assert probing_cpu.cpu_facts()["isa"] == ""


@given(st.text())
def test_a_slug_is_a_metrics_key(name):
    slug = probing.slugify(name)
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug)
    assert probing.slugify(slug) == slug


def test_the_probe_imports_no_library_that_it_is_about():
    code = (
        "import sys\n"
        "from trtproof.config import load_params\n"
        "from trtproof.inputs import make_inputs\n"
        "from trtproof.leftovers import remove_leftovers\n"
        "from trtproof.probing import probe\n"
        "params = load_params()\n"
        "probe(params.target)\n"
        "import trtproof.inputs\n"
        "sources = trtproof.inputs.InputSources(__import__('pathlib').Path.cwd(), ())\n"
        "sources.model_closure(params.model)\n"
        "sources.split_files(params.dataset, 'evaluation')\n"
        "heavy = {'torch', 'pandas', 'omegaconf', 'onnxruntime', 'tensorrt', 'sklearn', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
