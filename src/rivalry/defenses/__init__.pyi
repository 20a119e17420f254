# Generated: make generated
from rivalry.defenses.binary_input_detector import binary_input_detector as binary_input_detector
from rivalry.defenses.neural_cleanse import neural_cleanse as neural_cleanse
from rivalry.defenses.spatial_smoothing import spatial_smoothing as spatial_smoothing
