"""The kernels of MSDNet, run by Triton's interpreter on a CPU, against the plain way."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

CHECK = '''
import torch
from triton.runtime import interpreter

patch = interpreter._patch_lang_tensor

def patched(tensor, scope):
    # Triton 3.6 makes an int of an array of one number, which newer NumPy refuses.
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

interpreter._patch_lang_tensor = patched

from trainables import msdnet_gpu

msdnet_gpu.check(torch.device("cpu"))
kernel = msdnet_gpu._shift_gradient

class Broken:
    """Leaves out what the later layers of a block send."""
    def __getitem__(self, grid):
        return lambda *given, **named: kernel[grid](*given[:7], 0, *given[8:], **named)

msdnet_gpu._shift_gradient = Broken()
try:
    msdnet_gpu.check(torch.device("cpu"))
except AssertionError:
    print("noticed")
'''


@pytest.mark.dlsia
@pytest.mark.skipif(find_spec("triton") is None, reason="there is no Triton here: it comes with PyTorch for CUDA")
def test_the_kernels_give_what_the_plain_way_does_and_their_check_notices_a_fault():
    """Triton reads at its import whether it is to interpret, so in a process of its own."""
    script = CHECK.replace("BREAK", "True")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "noticed\n"), done.stderr
