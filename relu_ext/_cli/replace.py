"""Writing a file: what was there keeps its place until the new content is on the disk."""

import contextlib
import errno
import os
import secrets
import stat

try:
    import fcntl
except ImportError:
    fcntl = None  # on Windows

ACL = "system.posix_acl_access"
NO_ACL = (getattr(errno, "ENODATA", None), errno.ENOTSUP)
NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
# The folder may be entered and not listed, so that it is open by O_PATH only; or nobody can.
NO_FOLDER_SYNC = (errno.EBADF, errno.EINVAL)
NO_REPLACING = (errno.EBUSY, errno.EPERM)
NO_LINK_OR_PIPE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextlib.contextmanager
def naming(path, *instead_of):
    """Make errors in reading and writing say which file it is, as those in opening do."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *instead_of):
            raise
        raise OSError(error.errno, error.strerror, path) from None


@contextlib.contextmanager
def writing(target, size):
    """
    A file to write the `size` bytes of `target` to, or any number of them if it is None.

    A file takes its name, and the place of one that had it, when all is written. Anything
    else, such as a pipe, is written to as it is.
    """
    # Ask what it is before its name is resolved: that of a pipe leads nowhere.
    number = descriptor(target)
    if number is None:
        old = status(target)
        path = os.path.realpath(target)
        if old is None or (stat.S_ISREG(old.st_mode) and is_at(path, old)):
            with replacing(target, path, old, size) as file:
                yield file
            return
    name = "the standard output" if target == "-" else target
    with naming(name):
        if number is not None:
            file = open(number, "wb", buffering=0, closefd=False)
        else:
            file = open_existing(target)
        with file:
            if number is None:
                if not os.path.samestat(os.fstat(file.fileno()), old):
                    raise changed(target)
                if stat.S_ISREG(old.st_mode):  # which has no name any more
                    file.truncate(0)
            try:
                yield file
            except KeyboardInterrupt as interrupt:
                interrupt.state = f"{name} is incomplete"
                raise


def descriptor(target):
    """The N that `target` means by being "-", /dev/stdout, /dev/fd/N or a link to them; or None."""
    if target == "-":
        return 1
    folders = [os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")]
    for _ in range(40):  # links, as many as the system would follow
        folder, name = os.path.split(target)
        folder = os.path.realpath(folder)
        target = os.path.join(folder, name)
        if folder in folders and os.path.exists(target):
            return int(name)
        if not os.path.islink(target):
            break
        target = os.path.join(folder, os.readlink(target))
    return None


def status(target):
    """What is there, behind links; or None."""
    try:
        return os.stat(target)
    except FileNotFoundError:
        if os.path.islink(target):
            problem = f"{target} is a link to {os.readlink(target)}, which does not exist"
            raise FileNotFoundError(problem) from None
        return None


def is_at(path, found, dir_fd=None):
    """Whether the name is that of this very file or, if that is None, of nothing."""
    try:
        now = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return found is None
    return found is not None and os.path.samestat(now, found)


def open_existing(path, flags=0, dir_fd=None):
    """Open for writing what is there, as it is."""
    flags |= os.O_WRONLY | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, dir_fd=dir_fd), "wb", buffering=0)


def changed(target):
    return FileExistsError(f"{target} was changed by another process meanwhile")


@contextlib.contextmanager
def replacing(target, path, old, size):
    """
    A file beside `path` that takes its place when all is written and on the disk.

    Others may rename and link what is in the folder, if they share it. So what matters is done
    to open files, and names count only within the open folder.
    """
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no directory {folder}, to write {target} into")
    with contextlib.ExitStack() as stack:
        dir_fd = None
        if os.open in os.supports_dir_fd:
            dir_fd = open_folder(folder)
            stack.callback(os.close, dir_fd)
            path = name
        # What a killed process leaves behind says whose it is.
        beside = f".{name[:50]}.relu-ext-{secrets.token_hex(8)}"
        if dir_fd is None:
            beside = os.path.join(folder, beside)
        stack.enter_context(naming(target, path, beside))
        if old is not None:
            # For being refused where a write would be, and for what the file is and has.
            was = stack.enter_context(open_existing(path, NO_LINK_OR_PIPE, dir_fd))
            old = os.fstat(was.fileno())  # asked anew, as layered file systems copy what is opened
            if not stat.S_ISREG(old.st_mode):
                raise changed(target)
        ours = None
        try:
            # Readable to nobody who may not read the target.
            mode = 0o666 if old is None else 0o600
            try:
                file = open(
                    beside,
                    "xb",
                    buffering=0,
                    opener=lambda path, flags: os.open(path, flags, mode, dir_fd=dir_fd),
                )
            except PermissionError:
                problem = f"{folder} must be writable, for {target} to be replaced when it is whole"
                raise PermissionError(problem) from None
            stack.enter_context(file)
            ours = os.fstat(file.fileno())
            if size is not None:
                preallocate(file, size)
            yield file
            if size is not None and file.tell() != size:
                raise OSError(f"{target} was to have {size} bytes, and would have {file.tell()}")
            if old is not None:
                keep_access(was.fileno(), file.fileno())
            sync(file.fileno())
            if not is_at(beside, ours, dir_fd):
                raise FileNotFoundError(
                    f"{beside}, which was to become {target}, was removed by another process"
                )
            if not is_at(path, old, dir_fd):
                raise changed(target)
            file.close()
            if old is not None:
                was.close()  # as Windows replaces no open file
            try:
                os.replace(beside, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            except OSError as error:
                if error.errno not in NO_REPLACING:
                    raise
                raise OSError(
                    error.errno,
                    f"{error.strerror}: a file that is a mount point, or another user's in a "
                    "folder like /tmp, cannot be replaced; write to another name",
                    target,
                ) from None
            if dir_fd is not None:
                sync_folder(dir_fd)
        except BaseException as error:
            # A signal can arrive with the end of the renaming.
            done = ours is not None and is_at(path, ours, dir_fd)
            if done or isinstance(error, KeyboardInterrupt):
                error.state = f"{target} is {'complete' if done else 'as it was'}"
            if ours is not None:
                file.close()
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=dir_fd)
            raise


def open_folder(path):
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)


def preallocate(file, size):
    """Find out at once whether there is the space; writing is faster, too."""
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, min(size, 2**63 - 1))
        except OSError as error:
            if error.errno not in NO_PREALLOCATION:
                raise


def keep_access(old, new):
    """Give the file to whom the old one belongs, and access to nobody who had none."""
    if not hasattr(os, "fchown"):
        return
    status = os.fstat(old)
    mode = status.st_mode & 0o777  # a set-id bit would run the new content as somebody
    for owner in (status.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(new, owner, status.st_gid)
            break
    same_group = os.fstat(new).st_gid == status.st_gid
    if not same_group:
        # Members of the old group are others now, and others may be members of the new one.
        both = mode >> 3 & mode & 0o7
        mode = mode & 0o700 | both << 3 | both
    if hasattr(os, "getxattr") and not keep_attributes(old, new, same_group):
        mode &= 0o600
    with contextlib.suppress(PermissionError):  # of file systems that have no modes
        os.fchmod(new, mode)


def keep_attributes(old, new, same_group):
    """Copy what belongs to a file besides its mode; returns whether the ACL is the old one's."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(old):
            # Others are signatures of the content, or rights that it gets by being run.
            if name.startswith("user.") or name == "security.selinux":
                with contextlib.suppress(OSError):
                    os.setxattr(new, name, os.getxattr(old, name))
    try:
        acl = os.getxattr(old, ACL)
    except OSError as error:
        if error.errno not in NO_ACL:
            return False
        acl = None
    try:
        if acl is None:
            os.removexattr(new, ACL)  # which the folder may have given it
        elif same_group:
            os.setxattr(new, ACL, acl)
        return acl is None or same_group
    except OSError as error:
        return acl is None and error.errno in NO_ACL


def sync(fd):
    if hasattr(fcntl, "F_FULLFSYNC"):  # as macOS's fsync leaves it in the drive's cache
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def sync_folder(fd):
    try:
        sync(fd)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
        os.sync()
