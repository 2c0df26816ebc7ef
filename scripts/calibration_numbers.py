"""Tables, logs and sums for data/calibration.txt: what a document of figures looks like, all made up here."""
import random


def numbers() -> list[str]:
    """Pieces of about 2 KB, the same at every call."""
    rng = random.Random(1)
    pieces = []
    rows = [f"{n:>4} {n * n:>7} {n ** 3:>10} {n ** 0.5:>9.5f} {1 / n:>10.7f}" for n in range(11, 51)]
    pieces.append("   n     n^2        n^3   sqrt(n)        1/n\n" + "\n".join(rows))
    names = ["Ahmed", "Birgit", "Chen", "Dolores", "Emeka", "Fatima", "Giorgio", "Hana", "Ivan", "Joana"]
    goods = ["paper A4", "ink, black", "stapler", "desk lamp", "cable 2 m", "folder", "whiteboard", "chair"]
    rows, total = ["order,date,customer,article,quantity,unit_price,amount"], 0
    for i in range(32):
        quantity, price = rng.randint(1, 24), rng.randint(99, 9999)
        total += quantity * price
        rows.append(f"{10400 + i},2023-{rng.randint(1, 12):02}-{rng.randint(1, 28):02},{rng.choice(names)},"
                    f"\"{rng.choice(goods)}\",{quantity},{price / 100:.2f},{quantity * price / 100:.2f}")
    pieces.append("\n".join(rows) + f"\nTOTAL,,,,,,{total / 100:.2f}")
    for operation in ("+", "-", "x"):
        lines = []
        for _ in range(30):
            a, b = rng.randint(12, 9999), rng.randint(3, 999)
            lines.append(f"{a} {operation} {b} = {a + b if operation == '+' else a - b if operation == '-' else a * b}")
        pieces.append("\n".join("; ".join(lines[i:i + 3]) + "." for i in range(0, 30, 3)))
    second, lines = 6 * 3600 + 17, []
    messages = ["GET /index.html 200", "GET /style.css 304", "POST /login 401", "POST /login 200", "GET /api/items?page={} 200",
                "worker {} started", "worker {} finished in {} ms", "disk sda1 at {} %", "retrying connection, attempt {}",
                "timeout after {} ms"]
    for _ in range(34):
        second += rng.randint(1, 900)
        level = rng.choice(["INFO ", "INFO ", "INFO ", "WARN ", "ERROR"])
        message = rng.choice(messages).format(rng.randint(1, 99), rng.randint(1, 5000))
        lines.append(f"2024-03-09T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z {level} [10.0.{rng.randint(0, 9)}."
                     f"{rng.randint(2, 250)}] {message}")
    pieces.append("\n".join(lines))
    rows = ["| Station | Jan | Apr | Jul | Oct | Year | Rain (mm) |", "|---|---:|---:|---:|---:|---:|---:|"]
    for station in ["Northfield", "Harbour", "Upper Lake", "Mill Bridge", "St. Anne", "Long Moor", "Quarry Hill", "Eastgate"] * 2:
        mean = [rng.uniform(-6, 4), rng.uniform(4, 11), rng.uniform(14, 24), rng.uniform(6, 13)]
        rows.append(f"| {station} {rng.randint(1, 40)} | " + " | ".join(f"{t:.1f}" for t in mean)
                    + f" | {sum(mean) / 4:.1f} | {rng.randint(380, 2400)} |")
    pieces.append("\n".join(rows))
    vector = [[rng.gauss(0, 1) for _ in range(6)] for _ in range(24)]
    pieces.append("\n".join(" ".join(f"{x:9.5f}" for x in row) for row in vector))
    labels = ["new", "sale", "heavy", "fragile", "gift"]
    entries = ",\n".join(f'    {{"id": "{rng.getrandbits(32):08x}", "score": {rng.random():.4f}, '
                         f'"count": {rng.randint(0, 9999)}, "tags": {rng.sample(labels, 2)}}}' for _ in range(20))
    pieces.append('{\n  "version": 3,\n  "items": [\n' + entries.replace("'", '"') + "\n  ]\n}")
    lines = [f"{c:>4} °C = {c * 9 / 5 + 32:6.1f} °F = {c + 273.15:7.2f} K" for c in range(-40, 105, 5)]
    pieces.append("\n".join(lines))
    steps = []
    for _ in range(12):
        a, b = rng.randint(100, 999), rng.randint(11, 99)
        steps.append(f"{a} divided by {b} is {a // b} with remainder {a % b}, since {a // b} x {b} = {a // b * b} and "
                     f"{a} - {a // b * b} = {a % b}; as a decimal, {a / b:.4f}.")
    pieces.append("\n".join(steps))
    primes = [n for n in range(2, 2400) if all(n % d for d in range(2, int(n ** 0.5) + 1))]
    pieces.append("\n".join(" ".join(f"{p:>4}" for p in primes[i:i + 15]) for i in range(0, len(primes), 15)))
    lines = [f"{rng.choice(names):<10}{rng.randint(1, 31):>3} {rng.choice(['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun'])} "
             f"{rng.randint(1850, 2020)}  {rng.randint(8, 19):02}:{rng.choice(['00', '15', '30', '45'])}  +{rng.randint(1, 99)} "
             f"{rng.randint(200, 999)} {rng.randint(1000, 9999)}  €{rng.randint(10, 99999):,}.{rng.randint(0, 99):02}  "
             f"{rng.uniform(-9, 99):.1f}%" for _ in range(28)]
    pieces.append("\n".join(lines))
    return pieces
