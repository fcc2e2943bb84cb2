#!/bin/sh
# Trains the MNIST network for two of its ten epochs, so that the whole demonstration takes a few minutes at most.
set -eu
nnc=$1
cd "$(dirname "$0")/.."
echo "Training examples/mnist/cnn.nn on 48,000 handwritten digits: 2 of its 10 epochs."
echo "The full program: $nnc run examples/mnist/cnn.nn"
echo
exec "$nnc" run examples/mnist/cnn.nn --set train.epochs=2
