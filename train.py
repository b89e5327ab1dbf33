"""Train CSENet: `./run.sh` with everything found by itself, or `python train.py --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import sys

from dataset.command import DONE, run_command
from networks import CSENet
from utils.distributed import leaving_processes, print_from_main
from utils.training.config import parse_config
from utils.training.loop import train
from utils.training.output import outlive_output
from utils.training.setup import BuildNetwork
from utils.training.stopping import TrainingStoppedError


def main(arguments: list[str] | None = None, *, build_network: BuildNetwork = CSENet) -> int:
    """Run the training; return the exit status."""

    def work() -> int | None:
        config = parse_config(arguments)
        with outlive_output(), leaving_processes():
            try:
                train(config, build_network=build_network)
            except TrainingStoppedError as event:
                print_from_main(f"{event}; continue with --resume auto")
                return event.exit_status
        return DONE

    return run_command("train.py", work, out_of_memory="choose a smaller --batch-size, and --accumulate")


if __name__ == "__main__":
    sys.exit(main())
