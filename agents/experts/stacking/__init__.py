"""The parts of the scripted stacker: geometry, grasps, places, the script and the hand."""
