"""How fast is relu_ext, next to its peers and to what the memory allows?

Run ``python -m bench`` from the source tree. ``cases.py`` says what is measured,
``contenders.py`` who competes, ``measure.py`` how the time is taken; ``results.py``
holds what came out, and ``report.py``, ``aims.py`` and ``plots.py`` show it.

``python -m bench.training`` shows what ReLU does to a network, that of ``network.py``.
"""

import sys
from importlib.util import find_spec

_NEEDED = (
    "cffi",
    "matplotlib",
    "ml_dtypes",
    "numpy",
    "PIL",
    "rich",
    "sklearn",
    "threadpoolctl",
    "tqdm",
)

# So it is while Python looks for the module that -m names; tests take parts of this package.
if sys.argv[0] == "-m" and (missing := [name for name in _NEEDED if find_spec(name) is None]):
    sys.exit(f"the benchmark needs {', '.join(missing)}: run `pip install -e '.[bench]'`")
