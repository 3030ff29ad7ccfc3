"""Graph optimization is turned off for a few lines."""

from keras_nmt.app.runtime.tensorflow_start import import_tensorflow, without_graph_optimization

KEY = "disable_meta_optimizer"


def test_graph_optimization_is_off_only_inside_the_context() -> None:
    import_tensorflow()
    import tensorflow as tf

    def is_off() -> bool:
        return bool(tf.config.optimizer.get_experimental_options().get(KEY, False))

    before = is_off()
    try:
        tf.config.optimizer.set_experimental_options({KEY: False})
        with without_graph_optimization():
            assert is_off()
        assert not is_off()
    finally:
        tf.config.optimizer.set_experimental_options({KEY: before})
