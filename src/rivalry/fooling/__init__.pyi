# Generated: make generated
from rivalry.fooling._fooling import fool as fool
from rivalry.fooling.gradient_ascent import gradient_ascent as gradient_ascent
from rivalry.fooling.map_elites_cppn import map_elites_cppn as map_elites_cppn
from rivalry.fooling.map_elites_direct import map_elites_direct as map_elites_direct
