"""Reading the elements of a .npy file or of raw numbers, a block at a time."""

import math
import os
import select
import stat
import warnings

import numpy as np

from relu_ext._cli.replace import naming

LONGEST_HEADER = 2**16  # NumPy takes 10,000 bytes, but reads whatever number the file claims
MAGIC = np.lib.format.MAGIC_PREFIX
VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # the same but for its encoding
}


def not_numbers(dtype):
    """What the elements are if they are not one number each; else None."""
    if dtype.hasobject:
        return "objects"
    if dtype.names is not None:
        return "records"
    return "arrays" if dtype.subdtype is not None else None


class Source:
    """
    A file of which to read the elements, in the order in which they lie.

    `left` says how many bytes of them are still to be read, or is None if only the end of
    the file can tell. A raw file has an empty `header`, and None for `shape`.
    """

    def __init__(self, path, dtype):
        standard = path == "-"
        self.name = "the standard input" if standard else path
        self.file = open(0 if standard else path, "rb", buffering=0, closefd=not standard)
        try:
            with naming(self.name):
                self._begin(dtype)
        except BaseException:
            self.file.close()
            raise

    def _begin(self, dtype):
        self.dtype, self.shape, self.fortran_order, self.left = dtype, None, False, None
        # What is read of the header; of raw numbers, the first of them.
        self.header, self.ahead = b"", b""
        while MAGIC.startswith(self.header) and self.header != MAGIC and self.read(1):
            pass  # and no further, as it may be all that a raw stream has for now
        if dtype is None or self.header == MAGIC:
            self._read_npy_header(dtype)
            self.left = math.prod(self.shape) * self.dtype.itemsize
        else:
            self.header, self.ahead = b"", self.header
        status = os.fstat(self.file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return
        rest = max(0, status.st_size - self.file.tell()) + len(self.ahead)
        if self.shape is None:
            self.left = rest
            if rest % dtype.itemsize:
                raise self._ends_within()
        elif rest < self.left:
            raise self._truncated(rest)
        elif rest > self.left:
            raise self._too_long()

    def _read_npy_header(self, dtype):
        if self.header == b"P" and self.read(3) == b"K\3\4":
            raise ValueError(
                f"{self.name} is a zip archive, such as a .npz; save the array that you mean with "
                "numpy.save"
            )
        try:
            if self.header != MAGIC:
                raise ValueError("it is empty" if not self.header else "it begins as none does")
            version = tuple(self.read(2))
            if version not in VERSIONS:
                raise ValueError(f"it has version {'.'.join(map(str, version))}")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.shape, fortran_order, found = VERSIONS[version](self)
            if version == (3, 0):
                # NumPy reads it as UTF-8, and none that Python 2 wrote, of which it would warn.
                self.header[12:].decode()
                if caught:
                    raise ValueError("version 3 came after Python 2")
            if what := not_numbers(found):
                raise ValueError(f"it holds {what}")
            if min(self.shape, default=0) < 0:
                raise ValueError(f"its shape is {self.shape}")
            # NumPy knows what shapes there can be.
            np.ndarray(self.shape, found, bytes(found.itemsize), strides=[0] * len(self.shape))
        except OSError:
            raise
        except Exception as error:  # a damaged header can fail anywhere in its parser
            problem = f"{self.name} is not a .npy file of numbers: {error}"
            if dtype is None and self.shape is None:
                problem += "; for raw numbers, say which with --dtype"
            raise ValueError(problem) from error
        if found.kind == "V":
            if dtype is None or dtype.itemsize != found.itemsize:
                raise ValueError(
                    f"{self.name} holds {found.itemsize} bytes an element and does not say of "
                    "what type: say it with --dtype, such as bfloat16"
                )
            found = dtype
        elif dtype is not None and dtype != found:
            raise ValueError(f"{self.name} is a .npy file of {found}, and not of {dtype}")
        self.dtype = found
        # The same bytes in both orders unless two axes are longer than 1.
        self.fortran_order = fortran_order and sum(length != 1 for length in self.shape) > 1

    def read(self, size):
        """Read on in the header."""
        if size > LONGEST_HEADER:
            raise ValueError(f"its header claims to have {size} bytes")
        data = bytearray(size)
        data = bytes(data[: self._fill(memoryview(data))])
        self.header += data
        return data

    def read_into(self, block):
        """Fill the block as far as there are elements; returns the number of bytes."""
        if self.left is not None:
            block = block[: self.left]
        with naming(self.name):
            count = self._fill(block)
            if self.left is None:
                if count % self.dtype.itemsize:
                    raise self._ends_within()
                return count
            if count < len(block):
                raise self._truncated(count)
            self.left -= count
            if not self.left and self._fill(memoryview(bytearray(1))):
                raise self._too_long()
        return count

    def _fill(self, block):
        """Read until the block is full or the file ends, as pipes give what they have."""
        count = len(self.ahead[: len(block)])
        block[:count], self.ahead = self.ahead[:count], self.ahead[count:]
        while count < len(block):
            got = self.file.readinto(block[count:])
            if got is None:
                wait(self.file, "POLLIN")
            elif not got:
                break
            else:
                count += got
        return count

    def _truncated(self, found):
        if self.shape is None:
            return ValueError(f"{self.name} was made shorter while it was read")
        return ValueError(
            f"{self.name} is truncated: {found} bytes are left, and its header of shape "
            f"{self.shape} and dtype {self.dtype} asks for {self.left}"
        )

    def _too_long(self):
        if self.shape is None:
            return ValueError(f"{self.name} was made longer while it was read")
        return ValueError(
            f"{self.name} does not end where its header of shape {self.shape} and dtype "
            f"{self.dtype} says: damaged, or several arrays in one file"
        )

    def _ends_within(self):
        size = self.dtype.itemsize
        return ValueError(f"{self.name} ends within an element, each of which has {size} bytes")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def wait(file, event):
    """Until a file that does not block, as whoever opened it wanted, is ready."""
    poll = select.poll()
    poll.register(file, getattr(select, event))
    poll.poll()
