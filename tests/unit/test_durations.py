import pytest

from trtproof.durations import record_seconds, recorded_seconds


def test_a_stage_that_dvc_runs_leaves_its_duration(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("DVC_STAGE", "build@tensorrt-fp16")
    record_seconds(12.5, tmp_path)
    assert recorded_seconds("build@tensorrt-fp16", tmp_path) == 12.5
    assert recorded_seconds("build@torch-fp32", tmp_path) is None


def test_a_script_run_by_hand_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    record_seconds(12.5, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seconds": "x"}'])
def test_a_broken_record_is_unknown(tmp_path, text):
    path = tmp_path / ".dvc" / "tmp" / "trtproof" / "seconds" / "export.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert recorded_seconds("export", tmp_path) is None
