# Generated: make generated
from rivalry.architectures.cnn_cifar import cnn_cifar as cnn_cifar
from rivalry.architectures.cnn_mnist import cnn_mnist as cnn_mnist
from rivalry.architectures.decision_tree import decision_tree as decision_tree
from rivalry.architectures.densenet import densenet as densenet
from rivalry.architectures.fc500_150 import fc500_150 as fc500_150
from rivalry.architectures.knn import knn as knn
from rivalry.architectures.lenet5 import lenet5 as lenet5
from rivalry.architectures.linear import linear as linear
from rivalry.architectures.mlp import mlp as mlp
from rivalry.architectures.mlp512 import mlp512 as mlp512
from rivalry.architectures.mobilenet_v3_small import mobilenet_v3_small as mobilenet_v3_small
from rivalry.architectures.nin import nin as nin
from rivalry.architectures.papernot import papernot as papernot
from rivalry.architectures.resnet18 import resnet18 as resnet18
from rivalry.architectures.strided_cnn import strided_cnn as strided_cnn
from rivalry.architectures.svm import svm as svm
from rivalry.architectures.vit_tiny import vit_tiny as vit_tiny
