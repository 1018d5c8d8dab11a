"""How fast is relu_ext, next to its peers and to what the memory allows?

Run ``python -m bench`` from the source tree. ``cases.py`` says what is measured,
``contenders.py`` who competes, ``measure.py`` how the time is taken; ``results.py``
holds what came out, and ``report.py``, ``aims.py`` and ``plots.py`` show it. ``training.py`` is another
command, ``python -m bench.training``: what ReLU does to the network of ``network.py``.
"""
