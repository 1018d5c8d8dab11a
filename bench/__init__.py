"""How fast is relu_ext, next to its peers and to what the memory allows?

Run ``python -m bench`` from the source tree. ``cases.py`` says what is measured,
``contenders.py`` who competes, ``measure.py`` how the time is taken; ``results.py``
holds what came out, and ``report.py``, ``aims.py`` and ``plots.py`` show it.

``python -m bench.training`` shows what ReLU does to a network, that of ``network.py``.
"""
