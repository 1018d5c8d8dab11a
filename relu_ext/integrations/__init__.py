"""ReLU with its gradient for packages that differentiate, one module each.

Nothing is imported before it is asked for: ``from relu_ext.integrations.torch import relu``
needs PyTorch, ``from relu_ext.integrations.jax import relu`` needs JAX. And
``import relu_ext.integrations.threadpoolctl``, which lets threadpoolctl limit the threads.
"""
