# Generated: make generated
from rivalry.filters.activation_clustering import activation_clustering as activation_clustering
from rivalry.filters.outlier_filter import outlier_filter as outlier_filter
from rivalry.filters.spectral_signatures import spectral_signatures as spectral_signatures
