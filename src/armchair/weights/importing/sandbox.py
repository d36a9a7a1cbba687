"""A program of its own: what tensors a file of torch's holds, as JSON on stdout. The file is stdin.

It runs in a process without site packages (python -I -S sandbox.py < FILE), uses the standard library alone
and never calls what a pickle names: the names on a fixed list stand for functions and classes of this file,
which keep what they are given and do nothing; any other name ends the reading. Before the first pickle is
read the process gives up files, sockets, children and all but a little memory and time.

Three formats: the zip of torch 1.6 and later (TorchScript archives too), the stream before it, and the tar
before that. The numbers themselves stay where they are; their places in the file go out.
"""

# pyright: basic
# what pickles hold has no types

import collections
import io
import json
import pickle
import struct
import sys
import tarfile
import zipfile

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEMORY = 2 * 2**30  # bytes of address space
SECONDS = 60  # of processor time
PICKLE = 2**28  # bytes of the longest pickle in a zip or tar
PLACES = 200_000  # tensors, and containers that are looked into
DEPTH = 100  # of values inside values
LEGACY = 0x1950A86A20F9469CFC6C  # first number of torch's stream format
EVENTS = {"pickle.find_class", "sys.excepthook", "sys.unraisablehook", "cpython._PySys_ClearAuditHooks"}

SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "bool": 1,
}  # fmt: skip
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8",
}  # fmt: skip


class Refused(Exception):
    """The file asks for something that tensors do not need."""


class Dtype(str):
    """A type of numbers by its name."""


class Storage:
    """A run of numbers in the file."""

    def __init__(self, key, dtype, first=0):
        self.key, self.dtype, self.first = key, dtype, first  # first: number that it starts with


class Tensor:
    """A view into a storage."""

    def __init__(self, storage, dtype, offset, shape, stride):
        if not isinstance(storage, Storage) or dtype not in SIZES:
            raise Refused("it builds a tensor from something else than a storage")
        self.storage, self.dtype = storage, str(dtype)
        self.offset = whole(offset) + storage.first
        self.shape, self.stride = [whole(n) for n in shape], [whole(n) for n in stride]


class Inert:
    """Stands for an object of a class on the list: keeps its state and has no behaviour."""

    state = None

    def __new__(cls, *args, **named):
        return object.__new__(cls)

    def __init__(self, *args, **named):
        pass

    def __setstate__(self, state):
        self.state = state

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return self is other


def whole(n):
    if type(n) is not int or not 0 <= n < 2**62:
        raise Refused(f"a size or place is {str(n)[:40]}")
    return n


def tensor_v2(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    return Tensor(storage, getattr(storage, "dtype", None), offset, size, stride)


def tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    return Tensor(storage, dtype, offset, size, stride)


def parameter(data, requires_grad=True, hooks=None, state=None):
    return data


def from_type(function, kind, args, state=None):
    if function not in (tensor_v2, tensor_v3):
        raise Refused("it builds a tensor in an unknown way")
    return function(*args)


def same(value, *rest):
    return value


def text_bytes(text, encoding="latin1"):
    return text.encode("latin1")


def inert(name):
    return type(name, (Inert,), {})


CALLS = {
    ("torch._utils", "_rebuild_tensor"): tensor_v2,
    ("torch._utils", "_rebuild_tensor_v2"): tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): tensor_v3,
    ("torch._utils", "_rebuild_parameter"): parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): from_type,
    ("torch", "Tensor"): Inert,  # the class that _rebuild_from_type_v2 names
    ("torch.nn.parameter", "Parameter"): parameter,
    ("torch.jit._pickle", "build_intlist"): same,
    ("torch.jit._pickle", "build_doublelist"): same,
    ("torch.jit._pickle", "build_boollist"): same,
    ("torch.jit._pickle", "build_tensorlist"): same,
    ("torch.jit._pickle", "restore_type_tag"): same,
    ("torch", "Size"): tuple,
    ("torch", "device"): same,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): lambda *args: {},
    ("builtins", "set"): set,
    ("builtins", "object"): Inert,
    ("builtins", "dict"): dict,
    ("copyreg", "_reconstructor"): lambda cls, *rest: cls(),
    ("_codecs", "encode"): text_bytes,
}
CLASSES = {  # module -> classes whose objects hold tensors, or stand beside them in checkpoints
    "torch.nn.modules.container": ("Sequential", "ModuleList", "ModuleDict", "ParameterList"),
    "torch.nn.modules.linear": ("Linear", "Identity"),
    "torch.nn.modules.activation": ("ReLU", "GELU", "SiLU", "Sigmoid", "MultiheadAttention"),
    "torch.nn.modules.conv": ("Conv1d", "Conv2d"),
    "torch.nn.modules.pooling": ("MaxPool2d", "AvgPool2d"),
    "torch.nn.modules.upsampling": ("Upsample",),
    "torch.nn.modules.normalization": ("LayerNorm", "GroupNorm"),
    "torch.nn.modules.batchnorm": ("BatchNorm2d",),
    "torch.nn.modules.dropout": ("Dropout",),
    "torch.nn.modules.sparse": ("Embedding",),
    "dall_e.encoder": ("Encoder", "EncoderBlock"),
    "dall_e.decoder": ("Decoder", "DecoderBlock"),
    "dall_e.utils": ("Conv2d",),
    "numpy": ("dtype", "ndarray", "float64", "float32", "int64"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "argparse": ("Namespace",),
    "pytorch_lightning.callbacks.model_checkpoint": ("ModelCheckpoint",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
}
LIST = {
    **CALLS,
    **{("torch", name): Dtype(name) for name in SIZES},
    **{("torch", name.replace("Storage", "Tensor")): Inert for name in STORAGES},  # classes, in tars
    **{
        (place, name): (name, dtype)
        for name, dtype in STORAGES.items()
        for place in ("torch", "torch.storage")
    },
    **{(module, name): inert(name) for module, names in CLASSES.items() for name in names},
}
OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # of Python 2, which protocol 2 keeps
SCRIPTED = inert("Scripted")  # any class of a TorchScript archive


class Reader(pickle.Unpickler):
    """Reads pickles whose every name is on the list."""

    def find_class(self, module, name):
        if module.split(".")[0] == "__torch__":
            return SCRIPTED
        module = OLD_NAMES[module] if module in OLD_NAMES else module
        if (module, name) not in LIST:
            raise Refused(f"it asks for {module[:80]}.{name[:80]}, which is on no list of what weights need")
        return LIST[module, name]

    def persistent_load(self, key):
        if isinstance(key, tuple) and len(key) == 4 and key[0] == "module":
            return key[1]  # a class, its source file and text: a stream of a whole module
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], tuple):
            raise Refused("it points at something else than a storage")
        view = key[5] if len(key) > 5 and key[5] is not None else (None, 0)
        return Storage(str(key[2]), Dtype(key[1][1]), whole(view[1]))


class TarReader(Reader):
    """The pickle of a tar, which names tensors by number."""

    tensors = {}

    def persistent_load(self, key):
        return self.tensors[key]


def read_zip(file):
    """-> the object, storage key -> (first byte, bytes)"""
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    main = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(main) != 1:
        raise Refused("it is a zip without torch's data.pkl")
    root = main[0].removesuffix("data.pkl")
    order = entries.get(f"{root}byteorder")
    if order is not None and read_entry(archive, order) != b"little":
        raise Refused("its numbers are big-endian")
    places = {}
    for name, entry in entries.items():
        if name.startswith(f"{root}data/"):
            if entry.compress_type != zipfile.ZIP_STORED:
                raise Refused("its numbers are compressed")
            file.seek(entry.header_offset + 26)
            names, extra = struct.unpack("<HH", file.read(4))
            start = entry.header_offset + 30 + names + extra
            places[name.removeprefix(f"{root}data/")] = (start, entry.file_size)
    data = read_entry(archive, entries[main[0]])
    close_doors()
    return Reader(io.BytesIO(data)).load(), places


def read_entry(archive, entry):
    if entry.file_size > PICKLE:
        raise Refused(f"its {entry.filename} has {entry.file_size:,} bytes")
    with archive.open(entry) as part:
        return part.read(PICKLE)


def read_stream(file):
    """-> the object, storage key -> (first byte, bytes)"""
    close_doors()
    if Reader(file).load() != LEGACY:
        raise Refused("it is a pickle, but none that torch wrote")
    protocol, system = Reader(file).load(), Reader(file).load()
    if protocol != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("its numbers are big-endian, or of an unknown protocol")
    reader = Sized(file)
    found = reader.load()
    places = {}
    for key in Reader(file).load():
        numbers = whole(struct.unpack("<q", file.read(8))[0])
        size = numbers * SIZES[reader.dtypes[str(key)]]
        places[str(key)] = (file.tell(), size)
        file.seek(size, io.SEEK_CUR)
    return found, places


class Sized(Reader):
    """Remembers the type of each storage, which a stream says nowhere else."""

    def __init__(self, file):
        super().__init__(file)
        self.dtypes = {}

    def persistent_load(self, key):
        found = super().persistent_load(key)
        if isinstance(found, Storage):
            self.dtypes[found.key] = found.dtype
        return found


def read_tar(file):
    """-> the object, storage key -> (first byte, bytes)"""
    members = {entry.name: entry for entry in tarfile.open(fileobj=file, mode="r:").getmembers()}
    if not {"storages", "tensors", "pickle"} <= members.keys():
        raise Refused("it is a tar without torch's three parts")
    close_doors()
    file.seek(members["storages"].offset_data)
    kinds, places = {}, {}
    for _ in range(whole(Reader(file).load())):
        key, _, kind = Reader(file).load()
        kinds[key] = Dtype(kind[1])
        numbers = whole(struct.unpack("<q", file.read(8))[0])
        size = numbers * SIZES[kinds[key]]
        places[str(key)] = (file.tell(), size)
        file.seek(size, io.SEEK_CUR)
    storages = {key: Storage(str(key), kind) for key, kind in kinds.items()}
    for key, root, first, _ in Reader(file).load():
        storages[key] = Storage(str(root), kinds[root], whole(first))
    file.seek(members["tensors"].offset_data)
    tensors = {}
    for _ in range(whole(Reader(file).load())):
        key, storage, _ = Reader(file).load()
        rank = struct.unpack("<i4x", file.read(8))[0]
        numbers = struct.unpack(f"<{2 * rank + 1}q", file.read(8 * (2 * rank + 1)))
        start = storages[storage]
        tensors[key] = Tensor(start, start.dtype, numbers[-1], numbers[:rank], numbers[rank : 2 * rank])
    file.seek(members["pickle"].offset_data)
    reader = TarReader(file)
    reader.tensors = tensors
    return reader.load(), places


def named_tensors(found):
    """The tensors inside an object, by the path to them: keys of dicts, names of parts, places in lists."""
    tensors, looked, work = {}, 0, [("", found, 0)]
    while work:
        path, value, depth = work.pop()
        looked += 1
        if looked > PLACES or depth > DEPTH:
            raise Refused("its values lie too deep, or are too many")
        if isinstance(value, Tensor):
            tensors[path] = value
            continue
        for name, inner in reversed(parts(value)):
            if isinstance(inner, (Tensor, Inert, dict, list, tuple)):
                work.append((f"{path}.{name}" if path else str(name), inner, depth + 1))
    return tensors


def parts(value):
    if isinstance(value, Inert):
        state = value.state
        if not isinstance(state, dict):
            return []
        if "_modules" in state:  # a module: its parts stand under their own names
            inside = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
            return [item for part in inside if isinstance(part, dict) for item in parts(part)]
        return parts(state)
    if isinstance(value, dict):
        return [(str(key)[:300], inner) for key, inner in value.items() if isinstance(key, (str, int))]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return []


def close_doors():
    """From here on the process opens nothing, starts nothing and stays small. What is open stays open."""
    if resource is not None:
        limits = {
            "RLIMIT_AS": MEMORY, "RLIMIT_CPU": SECONDS, "RLIMIT_NOFILE": 3, "RLIMIT_FSIZE": 0,
            "RLIMIT_NPROC": 0, "RLIMIT_CORE": 0,
        }  # fmt: skip
        for name, most in limits.items():
            kind = getattr(resource, name, None)
            if kind is not None:
                hard = resource.getrlimit(kind)[1]
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.setrlimit(kind, (most, most))

    def watch(event, args):
        if event not in EVENTS:
            raise Refused(f"it caused {event}")

    sys.addaudithook(watch)


def main():
    file = io.BufferedReader(io.FileIO(0, closefd=False))
    start = file.peek(8)[:8]
    try:
        if start[:4] == b"PK\x03\x04":
            found, places = read_zip(file)
        elif start[:1] == b"\x80":
            found, places = read_stream(file)
        else:
            found, places = read_tar(file)
        listed = {}
        for path, tensor in named_tensors(found).items():
            if tensor.storage.key not in places:
                raise Refused(f"the numbers of {path} are missing")
            first, size = places[tensor.storage.key]
            listed[path] = {
                "dtype": tensor.dtype, "shape": tensor.shape, "stride": tensor.stride,
                "offset": tensor.offset, "first": first, "bytes": size,
            }  # fmt: skip
        answer = {"tensors": listed}
    except Refused as error:
        answer = {"refused": str(error)}
    except Exception as error:  # a hostile or damaged file may cause any
        answer = {"refused": f"it cannot be read ({type(error).__name__}: {str(error)[:200]})"}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
