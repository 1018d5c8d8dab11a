import shutil
import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError

# After setuptools, which brings it since Python 3.12.
from distutils.ccompiler import new_compiler  # isort: skip
from distutils.sysconfig import customize_compiler  # isort: skip

PROGRAM = "#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n"
WITH_PYTHON = "#include <Python.h>\nint main(void) { return !PY_VERSION_HEX; }\n"

NO_COMPILER = """\
relu_ext is built from C, and there is no C compiler here that works (tried: {tried}). Get one:
`apt install build-essential`, `dnf install gcc`, `xcode-select --install`, MSVC's build tools."""
NO_HEADERS = """\
relu_ext is built from C, and Python.h is not here ({tried}), which belongs to Python's headers.
Get them: `apt install python3-dev` or `dnf install python3-devel`, for the Python that you run."""


def builds(compiler, program, flags=(), link=True):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(program)
        options = {"output_dir": folder, "extra_postargs": list(flags)}
        try:
            objects = compiler.compile([str(source)], **options)
            if link:
                compiler.link_executable(objects, "probe", **options)
        except (CompileError, LinkError):
            return False
    return True


def require_compiler():
    """Before anything else is done, as the reason would be the last of many lines."""
    compiler = new_compiler()
    customize_compiler(compiler)
    if not builds(compiler, PROGRAM):
        raise SystemExit(NO_COMPILER.format(tried=getattr(compiler, "compiler", ["cl.exe"])[0]))
    headers = sorted({sysconfig.get_path("include"), sysconfig.get_path("platinclude")})
    if not builds(compiler, WITH_PYTHON, [f"-I{folder}" for folder in headers], link=False):
        raise SystemExit(NO_HEADERS.format(tried=", ".join(headers)))


class BuildWithCSources(build_py):
    """Puts what other extensions compile and include into the package, as relu_ext/include."""

    sources = sorted([*Path("csrc").glob("*.[ch]"), *Path("csrc", "relu_ext").glob("*.h")])
    sources.append(Path("csrc", "CMakeLists.txt"))

    def run(self):
        require_compiler()  # here, as this command is the first of a build
        super().run()
        if self.editable_mode:
            link = Path("relu_ext", "include")
            if not link.exists():
                try:
                    link.symlink_to(Path("..", "csrc"), target_is_directory=True)
                except OSError:  # Windows has a privilege for it
                    shutil.copytree("csrc", link)
        else:
            for source, target in zip(self.sources, self.targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(source), str(target))

    @property
    def targets(self):
        include = Path(self.build_lib, "relu_ext", "include")
        return [include / source.relative_to("csrc") for source in self.sources]

    def get_source_files(self):
        """What an sdist has besides the package: tests and benchmarks can be run from it too."""
        others = ["CHANGELOG.md", "relu_ext/README.md", *Path(".github").glob("*.md")]
        others += [p for folder in ("csrc", "tests", "bench") for p in Path(folder).rglob("*.*")]
        files = super().get_source_files() + [str(path) for path in others]
        return [path for path in files if not path.endswith(".pyc")]

    def get_outputs(self, *args, **kwargs):
        copies = [] if self.editable_mode else [str(target) for target in self.targets]
        return super().get_outputs(*args, **kwargs) + copies


setup(
    cffi_modules=["relu_ext/_build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithCSources},
    options=(
        {}
        if sysconfig.get_config_var("Py_GIL_DISABLED")
        else {"bdist_wheel": {"py_limited_api": "cp310"}}
    ),
)
