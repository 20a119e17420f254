# Generated: make generated
from rivalry.data._splits import load_split as load_split
from rivalry.data.cifar10 import cifar10 as cifar10
from rivalry.data.digits import digits as digits
from rivalry.data.image_folder import image_folder as image_folder
from rivalry.data.mnist import mnist as mnist
from rivalry.data.shapes import shapes as shapes
