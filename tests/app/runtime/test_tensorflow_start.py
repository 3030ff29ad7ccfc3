"""How TensorFlow is told to answer a few lines soon."""

from app.runtime.tensorflow_start import answering_soon, import_tensorflow

KEY = "disable_meta_optimizer"


def test_graphs_are_not_improved_while_a_few_lines_are_translated_and_are_afterwards() -> None:
    import_tensorflow()
    import tensorflow as tf

    def is_off() -> bool:
        return bool(tf.config.optimizer.get_experimental_options().get(KEY, False))

    before = is_off()
    try:
        tf.config.optimizer.set_experimental_options({KEY: False})
        with answering_soon():
            assert is_off()
        assert not is_off()
    finally:
        tf.config.optimizer.set_experimental_options({KEY: before})
