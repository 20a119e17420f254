# Generated: make generated
from rivalry.data._splits import load_split as load_split
from rivalry.data.cifar10 import cifar10 as cifar10
from rivalry.data.cifar100 import cifar100 as cifar100
from rivalry.data.csv import csv as csv
from rivalry.data.digits import digits as digits
from rivalry.data.fashion_mnist import fashion_mnist as fashion_mnist
from rivalry.data.image_folder import image_folder as image_folder
from rivalry.data.kmnist import kmnist as kmnist
from rivalry.data.mnist import mnist as mnist
from rivalry.data.npz import npz as npz
from rivalry.data.parquet import parquet as parquet
from rivalry.data.shapes import shapes as shapes
from rivalry.data.svhn import svhn as svhn
