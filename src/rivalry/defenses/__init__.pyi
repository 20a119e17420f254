# Generated: make generated
from rivalry.defenses.binary_input_detector import binary_input_detector as binary_input_detector
from rivalry.defenses.bit_depth import bit_depth as bit_depth
from rivalry.defenses.chain import chain as chain
from rivalry.defenses.defense_gan import defense_gan as defense_gan
from rivalry.defenses.denoising_autoencoder import denoising_autoencoder as denoising_autoencoder
from rivalry.defenses.feature_detector import feature_detector as feature_detector
from rivalry.defenses.fine_pruning import fine_pruning as fine_pruning
from rivalry.defenses.jpeg import jpeg as jpeg
from rivalry.defenses.low_pass import low_pass as low_pass
from rivalry.defenses.neural_cleanse import neural_cleanse as neural_cleanse
from rivalry.defenses.pca import pca as pca
from rivalry.defenses.query_limit import query_limit as query_limit
from rivalry.defenses.randomised_smoothing import randomised_smoothing as randomised_smoothing
from rivalry.defenses.reconstruction_detector import reconstruction_detector as reconstruction_detector
from rivalry.defenses.soft_threshold import soft_threshold as soft_threshold
from rivalry.defenses.spatial_smoothing import spatial_smoothing as spatial_smoothing
