import Commands

await Webtun.main()
