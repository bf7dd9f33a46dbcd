from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trtproof import artifacts
from trtproof.config import AxisConfig, InputConfig, ModelConfig
from trtproof.errors import (
    AdapterError,
    ConfigError,
    ImportPathError,
    InputError,
    MissingFileError,
    ModelError,
)
from trtproof.models import SOURCES, base
from trtproof.models.reference import make_function
from trtproof.models.weights import load_weights, write_weights
from trtproof.tensor import Signature

FACTORIES = """
    import torch
    from torch import nn

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4, bias=False)
            self.two = nn.Linear(4, 4, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    def make(width=4, half=False):
        module = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.5))
        return module.half() if half else module

    def make_two():
        class Two(nn.Module):
            def forward(self, x):
                return x, x + 1
        return Two()

    def make_dict():
        class Dictionary(nn.Module):
            def forward(self, x):
                return {"y": x}
        return Dictionary()

    def make_text():
        return "a model"

    def make_broken():
        raise RuntimeError("the factory's own error")

    TABLE = {}
"""


def make_config(**settings):
    defaults = {
        "name": "m",
        "source": "module",
        "factory": "user_factories:make",
        "weights": None,
        "options": {},
        "files": [],
        "inputs": {"x": InputConfig(dtype="float32", shape=["batch", 4])},
        "outputs": ["y"],
        "axes": {"batch": AxisConfig(min=1, opt=2, max=4)},
    }
    return ModelConfig(**(defaults | settings))


def make_module(**settings):
    config = make_config(**settings)
    return SOURCES.load(config.source).make_module(config)


@pytest.fixture(autouse=True)
def user_package(tmp_path, monkeypatch):
    (tmp_path / "user_factories.py").write_text(textwrap.dedent(FACTORIES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "user_factories", raising=False)
    return tmp_path


class TestFactory:
    def test_options_reach_the_factory(self):
        assert make_module(options={"width": 7})[0].out_features == 7

    def test_the_reference_is_float32_in_evaluation_mode_without_gradients(self):
        module = make_module(options={"half": True})
        assert not module.training
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert not any(parameter.requires_grad for parameter in module.parameters())

    def test_random_weights_are_the_same_every_time_whatever_was_drawn_before(self):
        first = make_module()[0].weight
        torch.rand(3)
        assert torch.equal(first, make_module()[0].weight)

    def test_making_a_module_leaves_the_callers_random_numbers_alone(self):
        torch.manual_seed(5)
        wanted = torch.rand(3)
        torch.manual_seed(5)
        make_module()
        assert torch.equal(torch.rand(3), wanted)

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"factory": None}, ConfigError, "model.factory: null"),
            ({"factory": "user_factories.make"}, ImportPathError, "no ':'"),
            ({"factory": "user_factories:make_nothing"}, ImportPathError, "no 'make_nothing'"),
            ({"factory": "no_such_package:make"}, ImportPathError, "no module 'no_such_package'"),
            ({"factory": "user_factories:TABLE"}, ConfigError, "is dict, not callable"),
            ({"factory": "user_factories:make_text"}, ModelError, "returned str, not a torch"),
            ({"options": {"depth": 3}}, ConfigError, "model.options: .*'depth'"),
        ],
    )
    def test_a_wrong_setting_is_one_line(self, settings, error, message):
        with pytest.raises(error, match=message) as caught:
            make_module(**settings)
        assert "\n" not in str(caught.value)

    def test_the_factorys_own_error_is_one_line_that_names_it_and_keeps_its_cause(self):
        told = r"^user_factories:make_broken: failed with RuntimeError: .*own error at .*py:\d+;"
        with pytest.raises(AdapterError, match=told) as caught:
            make_module(factory="user_factories:make_broken")
        assert isinstance(caught.value.__cause__, RuntimeError)


class TestWeights:
    def state(self, width=4):
        return {f"0.{name}": t + 1 for name, t in nn.Linear(4, width).state_dict().items()}

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
    def test_stored_weights_are_the_modules(self, tmp_path, name):
        state = self.state()
        save_file(state, name) if name.endswith(".safetensors") else torch.save(state, name)
        module = make_module(weights=name)
        assert torch.equal(module[0].weight, state["0.weight"])

    def test_keys_that_do_not_fit_are_named_in_one_line(self):
        state = self.state(width=5)
        state["1.running"] = state.pop("0.bias")
        save_file(state, "w.safetensors")
        with pytest.raises(ModelError) as caught:
            make_module(weights="w.safetensors")
        text = str(caught.value)
        assert "lacks 0.bias" in text
        assert "1.running" in text
        assert "0.weight [5, 4] instead of [4, 4]" in text
        assert "\n" not in text

    def test_only_the_first_of_many_keys_are_named(self):
        save_file({f"k{i}": torch.zeros(1) for i in range(9)}, "w.safetensors")
        with pytest.raises(ModelError, match="k0, k1, k2 and 6 more"):
            make_module(weights="w.safetensors")

    def test_a_missing_file_names_the_setting(self):
        with pytest.raises(MissingFileError, match=r"model\.weights"):
            make_module(weights="none.safetensors")

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
    @pytest.mark.parametrize("kept", [0, 0.5, 0.9])
    def test_an_empty_or_truncated_file_is_one_line(self, tmp_path, name, kept):
        state = self.state()
        save_file(state, name) if name.endswith(".safetensors") else torch.save(state, name)
        path = tmp_path / name
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(InputError, match=name) as caught:
            make_module(weights=name)
        assert "\n" not in str(caught.value)

    def test_a_pickle_is_not_executed(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "executed"), "w"))

        torch.save({"0.weight": Evil()}, "w.pt")
        with pytest.raises(InputError, match="without executing it"):
            make_module(weights="w.pt")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("stored", [{"epoch": 3}, {}, torch.zeros(2)])
    def test_what_is_not_a_state_dict_is_told(self, stored):
        torch.save(stored, "w.pt")
        with pytest.raises(InputError, match="not a state dict of tensors"):
            make_module(weights="w.pt")

    def test_tied_weights_may_be_stored_once_and_are_written_whole(self, tmp_path):
        save_file({"one.weight": torch.eye(4)}, "w.safetensors")
        module = make_module(factory="user_factories:Tied", weights="w.safetensors")
        assert torch.equal(module.two.weight, torch.eye(4))
        write_weights(module, tmp_path / "all.safetensors")
        other = make_module(factory="user_factories:Tied")
        load_weights(other, tmp_path / "all.safetensors")
        assert torch.equal(other.one.weight, torch.eye(4))

    def test_written_weights_are_the_same_bytes_every_time(self, tmp_path):
        for name in ("a", "b"):
            write_weights(make_module(), tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class TestFunction:
    def make(self, factory, outputs):
        module = make_module(factory=f"user_factories:{factory}", outputs=outputs)
        return make_function(module, base.input_specs(make_config()), outputs)

    def test_outputs_come_by_name_in_the_modules_order(self):
        found = self.make("make_two", ["a", "b"])({"x": np.zeros((2, 4), np.float32)})
        assert {name: array.sum() for name, array in found.items()} == {"a": 0, "b": 8}

    def test_another_number_of_outputs_than_configured_is_told(self):
        with pytest.raises(AdapterError, match=r"returns 2 outputs, `model\.outputs` names 1"):
            self.make("make_two", ["a"])({"x": np.zeros((2, 4), np.float32)})

    def test_a_dictionary_without_the_output_is_told(self):
        with pytest.raises(AdapterError, match=r"make_dict: the model returns no 'z' \(it returns"):
            self.make("make_dict", ["z"])({"x": np.zeros((2, 4), np.float32)})


BERT: dict[str, Any] = {
    "source": "transformers",
    "factory": None,
    "options": {
        "config_class": "BertConfig",
        "model_class": "BertForSequenceClassification",
        "config": {
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 8,
            "vocab_size": 20,
        },
    },
    "inputs": {
        "attention_mask": InputConfig(dtype="int64", shape=["batch", "sequence"]),
        "input_ids": InputConfig(dtype="int64", shape=["batch", "sequence"]),
    },
    "outputs": ["logits"],
    "axes": {
        "batch": AxisConfig(min=1, opt=2, max=4),
        "sequence": AxisConfig(min=2, opt=3, max=5),
    },
}


class TestTransformers:
    @pytest.fixture(autouse=True)
    def needs_transformers(self):
        pytest.importorskip("transformers")

    def test_inputs_are_taken_by_name_in_the_configured_order(self):
        module = make_module(**BERT)
        ids = torch.tensor([[3, 4, 5]])
        mask = torch.tensor([[1, 1, 0]])
        (found,) = module(mask, ids)
        assert torch.equal(found, module.model(input_ids=ids, attention_mask=mask).logits)

    def test_random_weights_are_the_same_every_time(self):
        first, second = make_module(**BERT), make_module(**BERT)
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name])

    def test_attention_is_eager(self):
        assert make_module(**BERT).model.config._attn_implementation == "eager"

    def test_an_output_that_the_model_does_not_have_is_told(self):
        module = make_module(**(BERT | {"outputs": ["boxes"]}))
        with pytest.raises(ModelError, match=r"no tensor 'boxes' \(it returns: logits\)"):
            module(torch.ones(1, 3, dtype=torch.int64), torch.ones(1, 3, dtype=torch.int64))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"model_class": "NoSuchModel"}, "model.options.model_class: .*NoSuchModel"),
            ({"modelclass": "BertModel"}, "unknown: \\['modelclass'\\]"),
            ({"config": {"hiden_size": 8}}, "has no \\['hiden_size'\\]"),
        ],
    )
    def test_a_wrong_option_is_one_line(self, options, message):
        with pytest.raises(ConfigError, match=message):
            make_module(**(BERT | {"options": BERT["options"] | options}))

    def test_a_missing_class_is_told(self):
        with pytest.raises(ConfigError, match="missing: \\['config_class'\\]"):
            make_module(**(BERT | {"options": {"model_class": "BertModel"}}))

    def test_a_saved_folder_is_loaded_with_its_own_configuration(self, tmp_path):
        saved = make_module(**BERT)
        with torch.no_grad():
            saved.model.classifier.bias += 3
        saved.model.save_pretrained(tmp_path / "saved")
        options = {name: BERT["options"][name] for name in ("config_class", "model_class")}
        module = make_module(**(BERT | {"weights": "saved", "options": options}))
        assert torch.equal(module.model.classifier.bias, saved.model.classifier.bias)
        assert module.model.config._attn_implementation == "eager"

    def test_a_folder_of_another_head_is_refused(self, tmp_path):
        make_module(**BERT).model.save_pretrained(tmp_path / "saved")
        options = BERT["options"] | {"model_class": "BertForTokenClassification"}
        fields = BERT["options"]["config"] | {"num_labels": 5}
        with pytest.raises(ModelError, match=r"saved does not fit the model: .*classifier\.bias"):
            make_module(**(BERT | {"weights": "saved", "options": options | {"config": fields}}))

    def test_a_folder_that_is_no_model_is_one_line_and_nothing_is_downloaded(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(
            InputError, match="empty is not a folder that save_pretrained"
        ) as caught:
            make_module(**(BERT | {"weights": "empty"}))
        assert "\n" not in str(caught.value)


class TestOnnx:
    def test_it_has_no_module(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(b"x")
        assert make_module(source="onnx", weights="m.onnx") is None

    def test_it_needs_a_path(self):
        with pytest.raises(ConfigError, match=r"model\.weights"):
            make_module(source="onnx")

    def test_a_missing_file_names_the_setting(self):
        with pytest.raises(MissingFileError, match=r"model\.weights"):
            make_module(source="onnx", weights="none.onnx")


class TestModelFiles:
    def test_a_folder_without_a_model_names_the_stage_that_makes_it(self, tmp_path):
        for folder, stage in (("artifacts/export", "export"), ("artifacts/convert/x", "convert@x")):
            with pytest.raises(MissingFileError, match=f"dvc repro {stage}`"):
                base.load_files(Path(folder))

    def test_a_written_signature_comes_back(self, tmp_path):
        signature = Signature(inputs=base.input_specs(make_config()), outputs=())
        artifacts.write_json(tmp_path / "signature.json", signature.to_json())
        (tmp_path / "model.onnx").write_bytes(b"x")
        files = base.load_files(tmp_path)
        assert files.signature == signature
        assert files.onnx == tmp_path / "model.onnx"
        assert files.weights is None
