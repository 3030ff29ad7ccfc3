"""Building a trainer with frozen layers."""

import numpy as np
import pytest

from keras_nmt.app.errors import UserError
from tests.app.training.small_trainer import DEEPER, ONE, first_weights, trained
from tests.eager import eager


def test_frozen_layers_do_not_change_and_others_do():
    first = first_weights(DEEPER)
    with eager():
        learned = trained(ONE, model=DEEPER, freeze=("encoder", "decoder/layer_1")).weights
    for path, weight in learned.items():
        same = np.array_equal(weight, first[path])
        assert same == ("encoder/" in path or "decoder/layer_1/" in path), path


def test_an_unknown_layer_cannot_be_frozen():
    with pytest.raises(UserError, match="there is no layer enkoder; name one of decoder, embedding, encoder or a part"):
        trained(ONE, freeze=("enkoder",))
    with pytest.raises(UserError, match="leaves no weight to learn"):
        trained(ONE, freeze=("transformer",))
