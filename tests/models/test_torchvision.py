"""torchvision beside a CPU-only torch: where its library does not load, it is imported all the same."""

# What a user has there: the operators' library needs a CUDA runtime that is not on the machine.
NO_LIBRARY = """
import torch
load = torch.ops.load_library
def load_library(path):
    if "_C" in str(path).rsplit("/", 1)[-1]:
        raise OSError("libcudart.so.13: cannot open shared object file: No such file or directory")
    return load(path)
torch.ops.load_library = load_library
torch.version.cuda = None
"""


def test_the_failure_is_the_one_that_users_meet(bare):
    (done,) = bare.run(f"{NO_LIBRARY}\nimport torchvision")
    assert done.lines[-1] == "RuntimeError: operator torchvision::nms does not exist"


def test_without_the_library_everything_imports_and_runs(bare):
    # xkd_bench.evaluation first: it imports torchmetrics, which looks for torchvision.
    (done,) = bare.run(f"""{NO_LIBRARY}
import xkd_bench.evaluation
from xkd_bench.models import _torchvision
from xkd_bench.models.encoders import build_encoder
import torchvision, timm, kornia, torchmetrics
print(tuple(build_encoder("mobilenetv3_small_100", 1, 32).eval()(torch.rand(1, 1, 32, 32)).shape))
print(_torchvision.LIBRARY is not None, torchvision.transforms.__name__)
for operator in ("nms", "qnms"):
    print(getattr(torch.ops.torchvision, operator).default._schema)
""")
    assert done.out.splitlines() == [
        "(1, 1024)",
        "True torchvision.transforms",
        "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "torchvision::qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ], done.err


def test_where_the_library_loads_nothing_is_declared_even_without_cuda(bare):
    # A torchvision built for the CPU, or for macOS: a second declaration would abort the process.
    (done,) = bare.run("""
import torch
torch.version.cuda = None
from xkd_bench.models import _torchvision
import torchvision
print(_torchvision.LIBRARY, torchvision.ops.nms(torch.tensor([[0., 0, 1, 1]]), torch.ones(1), 0.5).tolist())
""")
    assert done.out.strip() == "None [0]", done.err


def test_another_failure_of_torchvision_is_not_hidden(bare):
    (done,) = bare.run("""
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("compiled with different CUDA major versions")
sys.meta_path.insert(0, Broken())
import xkd_bench.models
""")
    assert done.code == 1
    assert done.lines[-1] == "RuntimeError: compiled with different CUDA major versions"
