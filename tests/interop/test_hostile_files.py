"""Files of weights that try to run something are refused unrun."""

import os
import pickle
import struct

import numpy as np
import pytest
import torch_writer as w
from reading import FORMS, KIND, TENSOR, assert_refused

COMMAND = "touch executed"
PYTHON = "open('executed', 'w').close()"
STACK_GLOBAL = b"\x93"


def stacked(module, attribute):
    return w.text(module) + w.text(attribute) + STACK_GLOBAL


class Asks:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickled(*call, protocol=2):
    """The instructions by which Python's own pickle makes this call."""
    data = pickle.dumps(Asks(*call), protocol)
    return data[2:-1] if protocol < 4 else data[11:-1]


NESTED = pickle.dumps(Asks(os.system, COMMAND), 2)
REBUILD = w.name("torch._utils", "_rebuild_tensor_v2")
ORDERED = w.name("collections", "OrderedDict")
CLASS = {"__class__": w.text("x"), "__call__": w.text("x"), "dtype": w.text("x")}

# each makes an object, or dies in the attempt
HOSTILE = {
    "os.system": pickled(os.system, COMMAND),
    "os.system, protocol 4": pickled(os.system, COMMAND, protocol=4),
    "os.system by GLOBAL": w.call(w.name("os", "system"), w.text(COMMAND)),
    "posix.system by GLOBAL": w.call(w.name("posix", "system"), w.text(COMMAND)),
    "posix.system by STACK_GLOBAL": w.call(stacked("posix", "system"), w.text(COMMAND)),
    "nt.system": w.call(w.name("nt", "system"), w.text(COMMAND)),
    "os.system by INST": b"(" + w.text(COMMAND) + b"ios\nsystem\n",
    "os.system by OBJ": b"(" + w.name("os", "system") + w.text(COMMAND) + b"o",
    "os.system by NEWOBJ": w.name("os", "system") + w.many(w.text(COMMAND)) + b"\x81",
    "Popen by NEWOBJ": w.name("subprocess", "Popen") + w.many(w.text(COMMAND)) + b"\x81",
    "Popen by NEWOBJ_EX": w.name("subprocess", "Popen") + w.many(w.text(COMMAND)) + b"}\x92",
    "subprocess.getoutput": w.call(w.name("subprocess", "getoutput"), w.text(COMMAND)),
    "builtins.eval": w.call(w.name("builtins", "eval"), w.text(PYTHON)),
    "builtins.exec": w.call(w.name("builtins", "exec"), w.text(PYTHON)),
    "eval under its name of Python 2": w.call(w.name("__builtin__", "eval"), w.text(PYTHON)),
    "eval by STACK_GLOBAL": w.call(stacked("builtins", "eval"), w.text(PYTHON)),
    "eval through getattr": w.call(
        w.call(w.name("builtins", "getattr"), w.name("builtins", "object"), w.text("__class__"))
    ),
    "a module through __import__": w.call(w.name("builtins", "__import__"), w.text("antigravity")),
    "runpy": w.call(w.name("runpy", "_run_code"), w.text(PYTHON), b"}"),
    "a dotted name, GLOBAL": w.call(w.name("torch.nn", "Module.__init__"), w.text("x")),
    "a dotted name, STACK_GLOBAL": w.call(
        stacked("collections", "OrderedDict.__reduce_ex__.__globals__"), w.text("x")
    ),
    "the reader's own module": w.call(
        w.name("hparse_jax.interop.torch_file", "os.system"), w.text(COMMAND)
    ),
    "the whitelist with a space": w.call(w.name("collections", "OrderedDict "), b"]"),
    "torch.storage._load_from_bytes": w.call(
        w.name("torch.storage", "_load_from_bytes"), pickle.dumps(NESTED, 3)[2:-1]
    ),
    "torch.load": w.call(w.name("torch", "load"), w.text("other.pth")),
    "torch.hub.load": w.call(w.name("torch.hub", "load"), w.text("a/b"), w.text("c")),
    "an array of NumPy": pickle.dumps(np.arange(3), 2)[2:-1],
    "a scalar of NumPy": pickle.dumps(np.float64(3), 2)[2:-1],
    "numpy's exec": w.call(
        w.name("numpy.testing._private.utils", "runstring"), w.text(PYTHON), b"}"
    ),
    "a nested pickle": w.call(w.name("pickle", "loads"), pickle.dumps(NESTED, 3)[2:-1]),
    "a nested pickle as storage": pickle.dumps(NESTED, 3)[2:-1] + b"Q",
    "a nested pickle as a storage's type": w.many(
        w.text("storage"), pickle.dumps(NESTED, 3)[2:-1], w.text("0"), w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a function as a storage's type": w.many(
        w.text("storage"), w.name("os", "system"), w.text("0"), w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a persistent id as text": b"Pstorage\n",
    "an extension code": b"\x82\x01",
    "an extension code of two bytes": b"\x83\x01\x01",
    "an extension code of four bytes": b"\x84\x01\x01\x00\x00",
    "OBJ on a storage's type": b"(" + KIND + w.text(COMMAND) + b"o",
    "NEWOBJ on the whitelist": ORDERED + b")\x81",
    "a call of a storage's type": w.call(KIND, w.text(COMMAND)),
    "a call of a tensor": w.call(TENSOR, w.text(COMMAND)),
    "a call of text": w.call(w.text("os.system"), w.text(COMMAND)),
    "attributes of a storage's type": KIND + w.mapping(**CLASS) + b"b",
    "slots of a storage's type": KIND + w.many(b"N", w.mapping(dtype=w.text("x"))) + b"b",
    "attributes of the tensor's maker": REBUILD + w.mapping(**CLASS) + b"b",
    "slots of the tensor's maker": REBUILD + w.many(b"N", w.mapping(__call__=b"N")) + b"b",
    "attributes of OrderedDict's maker": ORDERED + w.mapping(**CLASS) + b"b",
    "attributes of a dict": b"}" + w.mapping(**CLASS) + b"b",
    "a set": b"\x8f",
    "a byte array of 8 EB": b"\x96" + struct.pack("<Q", 2**63 - 1),
    "bytes of 8 EB": b"\x8e" + struct.pack("<Q", 2**63 - 1),
    "a number of 2 GB": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "text of 4 GB": b"X" + struct.pack("<I", 2**32 - 1),
    "a number in a million digits": b"I" + b"9" * 10**6 + b"\n",
    "nothing at all": b"",
    "an empty stack": b"0R",
}
# each is a tree that ends well, but is no state dict
IMPOSSIBLE = {
    "a list of tensors": b"](" + TENSOR + b"e",
    "a tensor by itself": TENSOR,
    "a number": w.whole(7),
    "no tensors": w.mapping(x=w.whole(7), y=w.text("z")),
    "an empty dict": b"}",
    "tensors too deep": w.mapping(a=w.mapping(b=w.mapping(x=TENSOR))),
    "an unknown storage": w.mapping(x=w.tensor(w.storage(key="9"))),
    "a storage of another type": w.mapping(x=w.tensor(w.storage("ComplexFloat"))),
    "a storage that is text": w.mapping(x=w.tensor(w.text("0"))),
    "a negative count": w.mapping(x=w.tensor(w.storage(count=-1))),
    "a negative count, no numbers": w.mapping(x=w.tensor(w.storage(count=-1), 0, (0,), (1,))),
    "more numbers than stored": w.mapping(x=w.tensor(w.storage(count=5), 0, (5,), (1,))),
    "8 EB of numbers": w.mapping(x=w.tensor(w.storage(count=2**61), 0, (2**61,), (1,))),
    "a count of many digits": w.mapping(x=w.tensor(w.storage(count=2**1000))),
    "a negative offset": w.mapping(x=w.tensor(None, -1)),
    "an offset beyond": w.mapping(x=w.tensor(None, 1)),
    "a negative side": w.mapping(x=w.tensor(None, 0, (-4,), (1,))),
    "a negative stride": w.mapping(x=w.tensor(None, 3, (4,), (-1,))),
    "a view beyond": w.mapping(x=w.tensor(None, 0, (2, 2), (3, 1))),
    "8 EB from one number": w.mapping(x=w.tensor(None, 0, (2**31, 2**31), (0, 0))),
    "sides past 64 bits": w.mapping(x=w.tensor(None, 0, (2**80,), (0,))),
    "sides and strides that differ": w.mapping(x=w.tensor(None, 0, (4,), (1, 1))),
    "a thousand sides": w.mapping(x=w.tensor(None, 0, (1,) * 1000, (1,) * 1000)),
    "sides that are text": w.mapping(
        x=w.call(REBUILD, w.storage(), w.whole(0), w.text("ab"), w.text("ab"))
    ),
    "a dict that holds itself": b"}q\x01" + w.text("state_dict") + b"h\x01s",
    "a name of 200,000 nested tuples": b"}(" + b")" + b"\x85" * 200_000 + TENSOR + b"u",
    "a name of doubled tuples": b"}(" + b")" + b"q\x01h\x01\x86" * 100 + TENSOR + b"u",
    "a pair's name of doubled tuples": w.call(
        ORDERED, b"](](" + b")" + b"q\x01h\x01\x86" * 100 + TENSOR + b"ee"
    ),
    "a key of doubled tuples": w.many(
        w.text("storage"), KIND, b")" + b"q\x01h\x01\x86" * 100, w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a million nested lists": b"]" * 1_000_000 + b"a" * 999_999,
    "the last number of the memo": b"}r\xff\xff\xff\xff",
}


def test_the_payloads_are_alive(here):
    """Python's own pickle runs them: the refusals below mean something."""
    for name in ("os.system", "posix.system by STACK_GLOBAL", "os.system by INST", "builtins.exec"):
        pickle.loads(w.finished(HOSTILE[name]))
        (here / "executed").unlink()
    pickle.loads(w.finished(w.call(w.name("pickle", "loads"), pickle.dumps(NESTED, 3)[2:-1])))
    (here / "executed").unlink()


@FORMS
@pytest.mark.parametrize("case", HOSTILE)
def test_a_pickle_that_tries_more_than_weights_is_refused(here, form, case):
    write = w.zipped if form == "zip" else w.legacy
    for tree in (HOSTILE[case], w.mapping(x=TENSOR, y=HOSTILE[case])):
        (here / "w.pth").write_bytes(write(tree))
        assert_refused(here, here / "w.pth")


@pytest.mark.parametrize("case", ["os.system by GLOBAL", "posix.system by STACK_GLOBAL"])
def test_the_refusal_says_what_was_asked_for(here, case):
    (here / "w.pth").write_bytes(w.zipped(HOSTILE[case]))
    assert_refused(here, here / "w.pth", match=r"it asks for (os|posix)\.system.*nothing was run")


@pytest.mark.parametrize("part", range(5))
def test_every_pickle_of_the_older_form_is_read_as_carefully(here, part):
    pickles = [pickle.dumps(x, 2) for x in (w.MAGIC, 1001, {"little_endian": True})]
    pickles += [w.finished(w.mapping(x=TENSOR)), pickle.dumps(["0"], 2)]
    pickles[part] = NESTED
    (here / "w.pth").write_bytes(b"".join(pickles) + struct.pack("<q", 4) + w.FOUR)
    assert_refused(here, here / "w.pth", match="nothing was run")


@FORMS
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_tree_that_is_no_state_dict_is_refused(here, form, case):
    (here / "w.pth").write_bytes((w.zipped if form == "zip" else w.legacy)(IMPOSSIBLE[case]))
    assert_refused(here, here / "w.pth")
