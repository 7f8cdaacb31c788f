"""CUDA twins of the kernels: the same names and arguments, for NVIDIA devices.

Needs the package ``numba-cuda`` (``pip install 'osong[cuda]'``). With ``NUMBA_ENABLE_CUDASIM=1`` in
the environment everything here runs in Numba's simulator, without a device.
"""
