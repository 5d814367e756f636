from xkd_bench.cli import main

main()
