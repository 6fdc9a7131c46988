import ArgumentParser

/// `webtun completion`
struct Completion: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a completion script for a shell.",
        discussion: """
            Examples:
              webtun completion bash > /etc/bash_completion.d/webtun
              webtun completion zsh > "${fpath[1]}/_webtun"
              webtun completion fish > ~/.config/fish/completions/webtun.fish
            """)

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() {
        let script =
            switch shell {
            case .bash: Webtun.completionScript(for: .bash)
            case .zsh: Webtun.completionScript(for: .zsh)
            case .fish: Webtun.completionScript(for: .fish)
            }
        print(script)
    }
}
