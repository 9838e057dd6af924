"""MODELS: dict[str, Callable[[], Model]] = {
    "judge": _in("judge", "JudgeConfig", "Judge"),
    "semg_gmvae": _in("semg_gmvae", "SemgConfig", "SemgGmvae"),
}
