import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError


class BuildWithOpenMP(build_ext):
    """Turns OpenMP on where it builds, unless the environment variable RELU_EXT_OPENMP is 0."""

    def build_extensions(self):
        windows = self.compiler.compiler_type == "msvc"
        flag = "/openmp" if windows else "-fopenmp"
        if os.environ.get("RELU_EXT_OPENMP") != "0" and self.builds_with(flag):
            for extension in self.extensions:
                extension.extra_compile_args.append(flag)
                extension.extra_link_args += [] if windows else [flag]
        super().build_extensions()

    def builds_with(self, flag):
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "probe.c")
            probe.write_text("#include <omp.h>\nint main(void) { return !omp_get_max_threads(); }\n")
            try:
                objects = self.compiler.compile(
                    [str(probe)], output_dir=folder, extra_postargs=[flag]
                )
                self.compiler.link_executable(
                    objects, "probe", output_dir=folder, extra_postargs=[flag]
                )
            except (CompileError, LinkError):
                return False
        return True


class BuildWithCSources(build_py):
    """Puts what other extensions compile and include into the package, as relu_ext/include."""

    sources = sorted([*Path("csrc").glob("*.[ch]"), *Path("csrc", "relu_ext").glob("*.h")])

    def run(self):
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
                target.parent.mkdir(exist_ok=True)
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
    cmdclass={"build_ext": BuildWithOpenMP, "build_py": BuildWithCSources},
    options=(
        {}
        if sysconfig.get_config_var("Py_GIL_DISABLED")
        else {"bdist_wheel": {"py_limited_api": "cp310"}}
    ),
)
