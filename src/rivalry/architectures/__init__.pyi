# Generated: make generated
from rivalry.architectures.cnn_cifar import cnn_cifar as cnn_cifar
from rivalry.architectures.cnn_mnist import cnn_mnist as cnn_mnist
from rivalry.architectures.decision_tree import decision_tree as decision_tree
from rivalry.architectures.knn import knn as knn
from rivalry.architectures.lenet5 import lenet5 as lenet5
from rivalry.architectures.linear import linear as linear
from rivalry.architectures.mlp512 import mlp512 as mlp512
from rivalry.architectures.svm import svm as svm
