"""Architectures: functions from an input shape and a number of classes to an untrained network.

Examples
--------
>>> from rivalry.architectures import lenet5
>>> victim = lenet5((1, 28, 28), 10)
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.architectures.cnn_cifar import cnn_cifar as cnn_cifar
    from rivalry.architectures.cnn_mnist import cnn_mnist as cnn_mnist
    from rivalry.architectures.decision_tree import decision_tree as decision_tree
    from rivalry.architectures.knn import knn as knn
    from rivalry.architectures.lenet5 import lenet5 as lenet5
    from rivalry.architectures.linear import linear as linear
    from rivalry.architectures.mlp512 import mlp512 as mlp512
    from rivalry.architectures.svm import svm as svm

open_room(__name__)
