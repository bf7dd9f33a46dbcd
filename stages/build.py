"""Build one variant's plan, or record why it cannot be built here.

Writes artifacts/build/VARIANT/: the plan, signature.json, layers.json, build.log, engine.json.
"""

from __future__ import annotations

from pathlib import Path

from trtproof import artifacts, inputs, stage
from trtproof.backends.plans import BuildRequest, build_plan
from trtproof.config import BuildConfig, load_section
from trtproof.device_choice import use_device
from trtproof.hardware import load_hardware
from trtproof.progress import note
from trtproof.sidecar import write_record


def main(variant: str) -> None:
    """Write artifacts/build/VARIANT/."""
    backend = load_section(str, "variants", variant, "backend")
    hardware = load_hardware()
    use_device(hardware)
    request = BuildRequest(
        variant=variant,
        backend=backend,
        recipe=load_section(str, "variants", variant, "recipe"),
        source=Path(load_section(str, "variants", variant, "source")),
        settings=load_section(BuildConfig, "variants", variant, "build"),
        facts=hardware.engine[backend],
        slug=hardware.slug,
        key=inputs.load_key("code", "build", backend),
        plan_key=inputs.load_key("plans", variant),
        pythonpath=load_section(list[str], "pythonpath"),
    )
    with artifacts.replace_folder(artifacts.build(variant)) as folder:
        record = build_plan(request, folder)
        write_record(folder, record)
    if record.reason:
        said = record.reason.text if record.plan else f"{record.status}: {record.reason.text}"
        note(f"{variant} is {said}; {record.reason.repair}")


if __name__ == "__main__":
    stage.run(main)
