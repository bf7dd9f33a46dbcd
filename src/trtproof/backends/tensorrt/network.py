"""The strongly typed network of an ONNX file, or all that is wrong with the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.errors import causes, failure
from trtproof.backends.tensorrt.library import LogLine
from trtproof.errors import BackendError, BuildFailedError

OUT_OF_MEMORY: Final = "MEM_ALLOC_FAILED"
CONVERT_REPAIR: Final = "change the model, or take another recipe or opset"
PARSER_REPAIRS: Final = {
    "MODEL_DESERIALIZE_FAILED": "the file is no whole ONNX model: make it again",
    "UNSUPPORTED_NODE": "rewrite the node, or bring it as a plug-in in build.options.plugins",
    "INVALID_GRAPH": "see that the model's external data lies beside it, whole",
    "INVALID_VALUE": "see that the file is there and readable",
}
NO_PLUGIN: Final = "Plugin not found"
ASSERTED: Final = re.compile(r'&& "([^"]+)"')
NODE_IN_LOG: Final = re.compile(r"In node (-?\d+) with name: (\S*) and operator: (\S*)")


@dataclass(frozen=True)
class Network:
    """A parsed network with what must outlive it: TensorRT keeps raw pointers to all of these."""

    trt: Any
    builder: Any
    network: Any
    parser: Any


def make_builder(trt: Any) -> Any:
    """Return a builder.

    Raises:
        BackendError: CUDA cannot be initialised; the bindings call that a factory's null pointer.
    """
    try:
        return trt.Builder(library.logger(trt))
    except TypeError as error:
        raise BackendError(
            f"TensorRT cannot start its builder ({error}): CUDA cannot be initialised here; see "
            "that `nvidia-smi` works, or run `trtproof doctor`"
        ) from error


def parse_network(trt: Any, model: str) -> Network:
    """Return the network of an ONNX file, which is read by path so that external data is found.

    Raises:
        BuildFailedError: the parser refuses it, or finds nothing in it; names every node refused.
        BackendError: the builder cannot start, or memory ran out.
    """
    builder = make_builder(trt)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    with library.capture() as lines:
        network = builder.create_network(typed)
        if network is None:
            what, repair = (
                "creating a strongly typed network",
                "see that TensorRT is 10.13 or newer",
            )
            raise failure(what, lines, code="no_network", repair=repair)
        parser = trt.OnnxParser(network, library.logger(trt))
        parsed = parser.parse_from_file(model)
    if not parsed or parser.num_errors:
        raise _refusal(parser, lines)
    _require_content(network)
    return Network(trt, builder, network, parser)


def _refusal(parser: Any, lines: Sequence[LogLine]) -> BuildFailedError | BackendError:
    """Return the error of a refused model: all that the parser says, and what only its log has."""
    found = [parser.get_error(number) for number in range(parser.num_errors)]
    codes = [str(parser_error.code()).rpartition(".")[2] for parser_error in found]
    words = [_words(str(parser_error.desc())) for parser_error in found]
    texts = [
        _describe(
            parser_error.node_name(), parser_error.node_operator(), f"{code}{said and ': '}{said}"
        )
        for parser_error, code, said in zip(found, codes, words, strict=True)
    ]
    told = "; ".join(dict.fromkeys(texts)) or "it says nothing of why"
    text = f"TensorRT's parser refuses the model: {told}{_only_in_log(lines, words)}"
    if OUT_OF_MEMORY in codes:
        return BackendError(f"{text}; free memory and run it again")
    first = next((code for code in codes if code in PARSER_REPAIRS), "")
    first = "UNSUPPORTED_NODE" if NO_PLUGIN in told else first
    return BuildFailedError(
        code="model_refused", text=text, repair=PARSER_REPAIRS.get(first, CONVERT_REPAIR)
    )


def _words(desc: str) -> str:
    """Return what an error says; of a failed assertion the sentence, of a bare "false" nothing."""
    sentence = ASSERTED.search(desc)
    said = " ".join((sentence[1] if sentence else desc).split())
    return "" if said == "false" else said


def _describe(name: str, operator: str, said: str) -> str:
    return f"node {name!r} ({operator}) {said}" if name or operator else said


def _only_in_log(lines: Sequence[LogLine], words: Sequence[str]) -> str:
    """Return the log's causes that the parser's errors leave out."""
    told = [said for said in words if said]
    texts = [" ".join(text.split()) for text in causes(lines)]
    fresh = [
        text
        for text in dict.fromkeys(texts)
        if not NODE_IN_LOG.search(text) and not any(said in text for said in told)
    ]
    return f" (log: {'; '.join(fresh)})" if fresh else ""


def _require_content(network: Any) -> None:
    """Refuse what the parser takes without a word: an empty file is a network of no layers.

    Raises:
        BuildFailedError: no layers or no outputs.
    """
    for count, what in ((network.num_layers, "layers"), (network.num_outputs, "outputs")):
        if count == 0:
            raise BuildFailedError(
                code="empty_network",
                text=f"TensorRT's parser took the model, but its network has no {what}",
                repair="see that the ONNX file is whole: make it again",
            )
