"""The live view in a real terminal (tmux): lines, folding, a resize, a narrow window, no colour."""
import re
import subprocess

import lib


class Terminal:
    """A tmux server of its own with one window that runs a shell."""

    def __init__(self, home, columns=100, lines=30, env=None):
        self.home, self.socket = home, home.path("tmux.sock")
        self.base = ["tmux", "-S", self.socket, "-f", "/dev/null"]
        self.env = {**home.env, "TERM": "xterm-256color", **(env or {})}
        self.call("new-session", "-d", "-x", str(columns), "-y", str(lines), "sh")
        self.call("set-option", "-g", "history-limit", "20000")

    def call(self, *args):
        return subprocess.run([*self.base, *args], env=self.env, check=True, capture_output=True, timeout=lib.DEADLINE).stdout.decode("utf-8", "replace")

    def type(self, text):
        self.call("send-keys", "-l", text)
        self.call("send-keys", "Enter")

    def screen(self, colour=False):
        return self.call("capture-pane", "-p", *(["-e"] if colour else []))

    def all(self):
        return self.call("capture-pane", "-p", "-S", "-20000")

    def until(self, pattern, what=None, everything=False):
        """The screen once it matches. The terminal has no other way to tell: bounded looking, paced by tmux itself."""
        clock = lib.Clock()
        while True:
            text = self.all() if everything else self.screen()
            if re.search(pattern, text):
                return text
            try:
                clock.left(pattern)
            except lib.Timeout:
                raise lib.Timeout(f"the screen never showed {what or pattern}:\n{text}") from None

    def close(self):
        subprocess.run([*self.base, "kill-server"], env=self.env, check=False, capture_output=True)


class LiveView(lib.Case):
    def setUp(self):
        super().setUp()
        lib.need_program("tmux")
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")

    def terminal(self, **options):
        terminal = Terminal(self.home, **options)
        self.addCleanup(terminal.close)
        return terminal

    def tearDown(self):
        subprocess.run(["tmux", "-S", self.home.path("tmux.sock"), "kill-server"], check=False, capture_output=True, env=self.home.env)
        super().tearDown()

    def doc(self, instances=3):
        return self.home.doc({"prepare": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                              "train": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo "${matrix.lr}" > "${outputs.o}"', "matrix": {"lr": list(range(instances))}, "inputs": {"i": "prepare.o"}, "outputs": {"o": "o"}},
                              "report": {"run": ":", "inputs": {"all": "train.o"}}})

    def begin(self, terminal, project, *args):
        terminal.type(f"cd {project.root} && {lib.program('stepctl')} run pipeline.yaml {' '.join(args)}; echo \"exit=$?\"")
        self.bell.wait()

    def test_a_line_a_step_with_state_and_reason_then_a_summary(self):
        terminal, project = self.terminal(), self.project(self.doc())
        self.begin(terminal, project)
        text = terminal.until(r"train\[lr=0\]|train .*3")
        self.assertIn("prepare", text)
        self.gate.let(3)
        text = terminal.until("exit=0", everything=True)
        self.assertRegex(text, r"(?i)5 miss")
        terminal.type("clear")
        terminal.type(f"{lib.program('stepctl')} run pipeline.yaml; echo \"again=$?\"")
        text = terminal.until("again=0")  # the first run's exit may still be on the screen
        self.assertRegex(text, r"(?i)5 hit")
        self.assertRegex(text, r"(?i)saved")

    def test_a_large_group_is_folded_to_one_line(self):
        terminal, project = self.terminal(lines=20), self.project(self.doc(200))
        self.begin(terminal, project)
        text = terminal.until(r"train.*200")
        self.assertLessEqual(sum("train" in line for line in text.splitlines()), 12, text)
        self.gate.let(200)
        terminal.until("exit=0", everything=True)

    def test_a_resize_and_a_narrow_window_never_break_a_line(self):
        terminal, project = self.terminal(), self.project(self.doc())
        self.begin(terminal, project)
        terminal.until("train")
        for columns, lines in ((40, 12), (20, 6), (8, 3), (120, 40)):
            terminal.call("resize-window", "-x", str(columns), "-y", str(lines))
            text = terminal.screen()
            self.assertTrue(all(len(line) <= columns for line in text.splitlines()))
        text = terminal.until("train")
        self.assertLessEqual(sum("prepare" in line for line in text.splitlines()), 3, f"the view was drawn over and over:\n{text}")
        self.gate.let(3)
        terminal.until("exit=0", everything=True)

    def test_no_color_means_no_colour(self):
        terminal, project = self.terminal(env={"NO_COLOR": "1"}), self.project(self.doc())
        self.begin(terminal, project)
        terminal.until("train")
        self.assertNotRegex(terminal.screen(colour=True), r"\x1b\[(3|4|9|10)[0-9]")
        self.gate.let(3)
        terminal.until("exit=0", everything=True)
        self.assertNotRegex(terminal.call("capture-pane", "-p", "-e", "-S", "-2000"), r"\x1b\[(3|4|9|10)[0-9](;|m)")

    def test_a_dumb_terminal_gets_plain_lines(self):
        terminal, project = self.terminal(), self.project(self.doc())
        self.begin(terminal, project, "--plain")
        terminal.until("prepare")
        self.gate.let(3)
        terminal.until("exit=0", everything=True)

    def test_ctrl_c_in_the_terminal_cancels_and_restores_it(self):
        terminal, project = self.terminal(), self.project(self.doc())
        self.begin(terminal, project)
        terminal.until("train")
        terminal.call("send-keys", "C-c")
        text = terminal.until(r"exit=(4|130)", everything=True)
        self.assertRegex(text, "(?i)cancel")
        terminal.type("stty -a | tr ';' '\\n' | grep -o -e ' echo' -e ' icanon' | sort -u | tr -d '\\n'; echo .")
        terminal.until(r"echo icanon\.")

    def test_a_closed_terminal_leaves_nothing_behind(self):
        terminal, project = self.terminal(), self.project(self.doc())
        self.begin(terminal, project)
        terminal.until("train")
        terminal.close()
        self.assertEqual(self.home.wait_gone(), {})


if __name__ == "__main__":
    lib.main()
