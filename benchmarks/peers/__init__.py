"""The packages, by the name that a worker process is started with."""

from benchmarks.peers.armadillo import Armadillo
from benchmarks.peers.base import Peer
from benchmarks.peers.double_loop import DoubleLoop
from benchmarks.peers.emjax_peer import Emjax, Emjax32
from benchmarks.peers.gmmx_peer import Gmmx
from benchmarks.peers.mclust import Mclust
from benchmarks.peers.mlpack_peer import Mlpack
from benchmarks.peers.pomegranate_peer import Pomegranate
from benchmarks.peers.scikit_learn import ScikitLearn

PEERS: dict[str, type[Peer]] = {
    "emjax": Emjax,
    "emjax32": Emjax32,
    "scikit-learn": ScikitLearn,
    "gmmx": Gmmx,
    "pomegranate": Pomegranate,
    "mlpack": Mlpack,
    "armadillo": Armadillo,
    "mclust": Mclust,
    "double-loop": DoubleLoop,
}

__all__ = ["PEERS", "Peer"]
