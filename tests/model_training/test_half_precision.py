import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra `train`")
import keras

from model_training.half_precision import fold, unfold


def test_a_network_just_built_does_the_same_without_normalisation():
    picture = keras.Input((None, None, 1))
    convolution = keras.layers.Conv2D(3, 3, use_bias=False)(picture)
    normalised = keras.layers.BatchNormalization()(convolution)
    again = keras.layers.BatchNormalization()(keras.layers.ReLU()(normalised))
    network = keras.Model(picture, again)
    rng = np.random.default_rng(1)
    network.set_weights([rng.uniform(0.5, 2, w.shape) for w in network.get_weights()])
    folded = fold(network)
    seen = rng.normal(size=(2, 9, 11, 1)).astype(np.float32)
    expected = network.predict_on_batch(seen)
    np.testing.assert_allclose(folded.predict_on_batch(seen), expected, rtol=1e-4, atol=1e-4)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert "BatchNormalization" not in kinds


def test_what_was_folded_goes_on_with_the_statistics_of_what_it_is_shown():
    picture = keras.Input((9, 11, 1))
    convolution = keras.layers.Conv2D(3, 3, use_bias=False)(picture)
    seen = keras.layers.ReLU()(keras.layers.BatchNormalization()(convolution))
    network = keras.Model(picture, keras.layers.Conv2D(2, 1)(seen))
    rng = np.random.default_rng(2)
    network.set_weights([rng.uniform(0.5, 2, w.shape) for w in network.get_weights()])
    shown, others = rng.normal(1, 3, size=(2, 40, 9, 11, 1)).astype(np.float32)
    fresh = keras.models.clone_model(network)
    unfold(fold(network), fresh, shown)
    for inputs in (shown, others):
        expected = network.predict_on_batch(inputs)
        np.testing.assert_allclose(fresh.predict_on_batch(inputs), expected, rtol=1e-4, atol=1e-3)
    # A step of training on what it was shown sees the same function too.
    trained = np.asarray(fresh(shown, training=True))
    np.testing.assert_allclose(trained, network.predict_on_batch(shown), rtol=1e-3, atol=1e-2)
