"""What all searches share.

A run is a function of its problem, algorithm, seed and archive. Resuming is therefore running again: what the archive
has is told at once, until the run reaches the place where it stopped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from evomnas.algorithms.goals import Goal
from evomnas.evaluation.interface import Evaluator
from evomnas.loop.asking import TimedAlgorithm
from evomnas.loop.confirming.second_trainings import SecondTrainings
from evomnas.loop.journal import Journal
from evomnas.loop.progress import OnEvaluation, OnGeneration, OnProgress, ProgressReporter
from evomnas.loop.run_clock import RunClock
from evomnas.loop.stopping import Stopping
from evomnas.loop.tally import Tally
from evomnas.problem.search_space import Genomes
from evomnas.results.evaluation import Evaluation, losses_and_violations
from evomnas.results.manifest import Answer, GoalAnswer
from evomnas.results.records import Ask
from evomnas.results.run import Result, Run

WEIGHTS = "weights"  # the folder within that of a run, of the weights that its networks inherit


class SearchLoop(ABC):
    """Asks an algorithm, evaluates, tells it, and keeps all of it; a small object for each of these.

    Attributes:
        evaluator: The evaluator, as the run uses it.
        algorithm: The algorithm.
        tally: What was evaluated.
        second_trainings: What is trained once more.
        stopping: When the search ends.
        journal: What is kept of it.
        progress: Those who watch it.
    """

    def __init__(
        self,
        run: Run,
        evaluator: Evaluator,
        clock: RunClock,
        deadline: float | None,
        on_progress: OnProgress,
        on_generation: OnGeneration,
        on_evaluation: OnEvaluation,
    ) -> None:
        """Begin or go on with a run.

        Args:
            run: The run.
            evaluator: An evaluator of its problem.
            clock: Knows where its time goes.
            deadline: A reading of `time.perf_counter` at which it ends; None for no time limit.
            on_progress: Called whenever something may have changed.
            on_generation: Called after new generations, at most once a second.
            on_evaluation: Called with every network that was evaluated in this session.
        """
        self.evaluator = evaluator.for_run(run.record.id, self._take_notice)
        self.tally = Tally(run.definition.epochs, run.mode.early_stop, run.objectives)
        self.second_trainings = SecondTrainings(run, self.evaluator, self.tally)
        self.stopping = Stopping(run.manifest.budget, deadline, self.tally, self.second_trainings.keep)
        self.journal = Journal(run, clock, self.tally, on_generation)
        self.progress = ProgressReporter(run, self.evaluator, self.tally, on_progress, deadline)
        self.algorithm = TimedAlgorithm(run, self.evaluator, self.tally)
        if run.mode.inherits:
            self.evaluator.begin_lineage(run.folder / WEIGHTS)
        self._space = run.definition.space
        self._run, self._on_evaluation = run, on_evaluation
        run.manifest.explanations = self.algorithm.explanations  # a report imports no algorithm

    @abstractmethod
    def run(self) -> None:
        """Search up to the budget, or until there is nothing more to ask.

        Raises:
            TimeUp: The time limit was reached.
            EverythingFailed: No candidate gave a result.
        """

    def confirm(self) -> None:
        """Train networks once more where that may change the front, with the share of the budget that is kept for it.

        Raises:
            TimeUp: The time limit was reached.
        """
        confirmed = set()
        try:
            for architecture in self.second_trainings.run(self.journal.position):
                confirmed.add(architecture)
                self._take_notice("training")
        finally:
            for result in self._run.results() if confirmed else ():
                if result.evaluation.architecture in confirmed:
                    self._on_evaluation(self._run, result)

    def answer_goals(self) -> list[GoalAnswer]:
        """Return the best network for each goal of the algorithm, and the algorithm's own choice.

        A choice is trained to the end, even if it was cut off. It is evaluated beyond the budget, where it was never
        asked for, and belongs to no front.
        """
        choices = self.evaluator.for_run(None, self._take_notice).evaluate(self.algorithm.choices())
        complete = [evaluation for evaluation in self.tally.evaluations.values() if evaluation.losses is not None]
        answers = []
        for place, goal in enumerate(self.algorithm.goals):
            best = None
            if complete:
                networks = [evaluation.architecture for evaluation in complete]
                scores = goal(losses_and_violations(complete)[0], networks)
                best = _answer(goal, complete[int(np.argmax(scores))])
            choice = _answer(goal, choices[place]) if choices else None
            answers.append(
                GoalAnswer(goal=str(goal), measure=goal.measure, target=goal.target, best=best, choice=choice)
            )
        return answers

    def _take_notice(self, phase: str) -> None:
        """See `OnPhase`."""
        self.stopping.check_time()
        self.journal.note_time()
        self.progress.report(phase)

    def _note_parents(self, genomes: Genomes) -> None:
        """Let the evaluator know from whom networks inherit that were just asked for."""
        if self._run.mode.inherits:
            self.evaluator.note_parents(self.algorithm.parents(genomes))

    def _forget_weights(self) -> None:
        """Let the evaluator forget the weights of networks that will have no more children.

        While an earlier session is played again, the weights of its later networks are there already.
        """
        if self._run.mode.inherits and not self.journal.is_replaying and not self.journal.tells:
            self.evaluator.forget_weights(self.algorithm.fertile())

    def _listen(self) -> None:
        """Let those who watch know what the algorithm says of itself."""
        self.progress.metrics = self.algorithm.metrics()

    def _count(self, ask: Ask, evaluation: Evaluation, is_new: bool) -> None:
        """Count what came of a network; `is_new` where no earlier session of the run knew it."""
        self.tally.add(ask, evaluation)
        if is_new:
            on_front = any(result.evaluation is evaluation for result in self.tally.front.items)
            self._on_evaluation(self._run, Result(ask.position, ask.generation, evaluation, on_front))

    def _end_generation(self, is_new: bool) -> None:
        """Keep the generation that has ended; `is_new` where this session asked for some of it."""
        self._listen()
        self.journal.end_generation(self.progress.generation, self.progress.metrics, is_new)


def _answer(goal: Goal, evaluation: Evaluation) -> Answer:
    losses, score = evaluation.losses, None
    if losses is not None:
        score = float(goal(losses_and_violations([evaluation])[0], [evaluation.architecture])[0])
    return Answer(id=evaluation.architecture.id, architecture=str(evaluation.architecture), losses=losses, score=score)
